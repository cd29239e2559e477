"""What Anthropic's clients are answered: the shapes of its objects."""

from typing import Annotated, Any, Literal, TypedDict

StopReason = Literal["end_turn", "max_tokens", "tool_use"]
ServiceTier = Literal["standard", "batch"]
Block = Annotated[
    Any,
    {
        "oneOf": [
            {
                "type": "object",
                "properties": {"type": {"type": "string", "enum": ["text"]}, "text": {"type": "string"}},
                "required": ["type", "text"],
            },
            {
                "type": "object",
                "properties": {
                    "type": {"type": "string", "enum": ["tool_use"]},
                    "id": {"type": "string"},
                    "name": {"type": "string"},
                    "input": {"type": "object"},
                },
                "required": ["type", "id", "name", "input"],
            },
        ]
    },
]


class AnthropicUsage(TypedDict):
    input_tokens: Annotated[int, "Of the prompt, without those that were cached."]
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    service_tier: Annotated[ServiceTier, "`batch` where it waited in the batch lane."]


class AnthropicMessage(TypedDict):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Block]
    stop_reason: Annotated[StopReason | None, "`end_turn` also where one of `stop_sequences` came."]
    stop_sequence: Annotated[str | None, "Always null: which of them came isn't noted."]
    usage: AnthropicUsage


class AnthropicTokens(TypedDict):
    input_tokens: Annotated[int, "That the model would read, exactly."]


class AnthropicErrorDetail(TypedDict):
    type: Annotated[str, "The kind of error, by the status."]
    message: Annotated[str, "Says it to people; begins with the path of the field, where it is one."]


class AnthropicError(TypedDict):
    type: Literal["error"]
    error: AnthropicErrorDetail
    request_id: str | None
