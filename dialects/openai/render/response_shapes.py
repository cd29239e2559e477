"""What OpenAI's clients are answered by `/v1/responses`: the shapes of its objects."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from dialects.openai.answers import ServiceTier
from dialects.openai.render.items import (
    ConversationItem,
    FileCitation,
    OtherText,
    OutputLogprob,
    OutputTextPart,
    RefusalPart,
)
from dialects.openai.requests.elsewhere_items import CHOICE, REASONING, TEXT, TOOLS

ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


class ResponseError(TypedDict):
    code: Literal["server_error", "invalid_prompt"]
    message: Annotated[str, "Begins with our own code, as in `context_length_exceeded: …`."]


class IncompleteDetails(TypedDict):
    reason: Literal["max_output_tokens"]


class InputTokensDetails(TypedDict):
    cached_tokens: int
    cache_write_tokens: int


class OutputTokensDetails(TypedDict):
    reasoning_tokens: int


class ResponseUsage(TypedDict):
    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseConversation(TypedDict):
    id: str


class Response(TypedDict):
    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: ResponseStatus
    background: bool
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    instructions: Annotated[str | list[ConversationItem] | None, "Never a list."]
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    model: str
    output: list[ConversationItem]
    parallel_tool_calls: bool
    presence_penalty: Annotated[float, "Always 0. Open Responses' clients read it, and `frequency_penalty`."]
    frequency_penalty: Annotated[float, "Always 0."]
    previous_response_id: str | None
    conversation: NotRequired[ResponseConversation]
    prompt_cache_key: str | None
    prompt_cache_retention: str | None
    reasoning: Annotated[dict[str, Any], {"properties": REASONING}]
    safety_identifier: str | None
    service_tier: ServiceTier
    store: bool
    temperature: float
    text: Annotated[dict[str, Any], {"properties": TEXT}]
    tool_choice: Annotated[Any, CHOICE]
    tools: Annotated[list[Any], {"items": TOOLS}]
    top_logprobs: int
    top_p: float
    truncation: Literal["auto", "disabled"]
    usage: ResponseUsage | None
    user: str | None


class ResponseItemList(TypedDict):
    object: Literal["list"]
    data: list[ConversationItem]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(TypedDict):
    object: Literal["response.input_tokens"]
    input_tokens: int


class ResponseDeleted(TypedDict):
    id: str
    object: Literal["response"]
    deleted: bool


class ResponseEvent(TypedDict):
    """One server-sent event of a response: the members depend on the type."""

    type: Literal[
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_text.annotation.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.cancelled",
        "error",
    ]
    sequence_number: Annotated[int, "From 0, without a gap."]
    response: NotRequired[Response]
    output_index: NotRequired[int]
    content_index: NotRequired[int]
    item_id: NotRequired[str]
    item: NotRequired[ConversationItem]
    part: NotRequired[OutputTextPart | RefusalPart | OtherText]
    delta: NotRequired[str]
    text: NotRequired[str]
    annotation: NotRequired[FileCitation]
    annotation_index: NotRequired[int]
    logprobs: NotRequired[list[OutputLogprob]]
    name: NotRequired[str]
    arguments: NotRequired[str]
    code: NotRequired[str]
    message: NotRequired[str]
    param: NotRequired[None]
