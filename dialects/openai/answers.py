"""What OpenAI's clients are answered: the shapes of its objects."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from dialects.openai.elsewhere import Annotation, CustomCall, ModeratedChat, SpokenAnswer

_MADE_BY = "Of the model's file, engine and settings: answers with one seed are alike where it is."
_NEVER = "Never there: models here write text."
_UNMODERATED = "Never there: `/v1/moderations` is asked by itself."


class PromptTokensDetails(TypedDict):
    audio_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    image_tokens: int
    text_tokens: int


class CompletionTokensDetails(TypedDict):
    accepted_prediction_tokens: int
    audio_tokens: int
    reasoning_tokens: int
    rejected_prediction_tokens: int
    text_tokens: int


class CompletionUsage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class TopLogprob(TypedDict):
    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(TypedDict):
    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[TopLogprob]


class ChoiceLogprobs(TypedDict):
    content: list[TokenLogprob] | None
    refusal: list[TokenLogprob] | None


class CalledFunction(TypedDict):
    name: str
    arguments: Annotated[str, "JSON, which fits the function's schema."]


class MessageToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: CalledFunction
    custom: NotRequired[Annotated[CustomCall, "Never there: only functions are called here."]]


class ChatMessage(TypedDict):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    annotations: Annotated[list[Annotation], "Empty: nothing here searches the web."]
    audio: NotRequired[Annotated[SpokenAnswer | None, _NEVER]]
    tool_calls: NotRequired[list[MessageToolCall]]
    function_call: NotRequired[CalledFunction]


ServiceTier = Literal["default", "flex"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class ChatChoice(TypedDict):
    index: int
    message: ChatMessage
    finish_reason: FinishReason
    logprobs: ChoiceLogprobs | None


class ChatCompletion(TypedDict):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: CompletionUsage
    service_tier: Annotated[ServiceTier, "`flex` where it waited in the batch lane."]
    system_fingerprint: NotRequired[Annotated[str, _MADE_BY]]
    metadata: dict[str, str]
    moderation: NotRequired[Annotated[ModeratedChat | None, _UNMODERATED]]


class DeltaFunction(TypedDict):
    name: NotRequired[str]
    arguments: str


class DeltaToolCall(TypedDict):
    index: int
    id: NotRequired[str]
    type: NotRequired[Literal["function"]]
    function: DeltaFunction


class ChatDelta(TypedDict):
    role: NotRequired[Literal["assistant"]]
    content: NotRequired[str | None]
    refusal: NotRequired[str | None]
    tool_calls: NotRequired[list[DeltaToolCall]]
    function_call: NotRequired[DeltaFunction]


class ChunkChoice(TypedDict):
    index: int
    delta: ChatDelta
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason | None


class ChatCompletionChunk(TypedDict):
    """One server-sent event of a streamed completion; after the last comes `[DONE]`."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[CompletionUsage | None]
    service_tier: ServiceTier
    system_fingerprint: NotRequired[Annotated[str, _MADE_BY]]
    moderation: NotRequired[Annotated[ModeratedChat | None, _UNMODERATED]]
    obfuscation: NotRequired[Annotated[str, "Never there."]]


class CompletionLogprobs(TypedDict):
    text_offset: list[int]
    token_logprobs: list[float]
    tokens: list[str]
    top_logprobs: list[dict[str, float]]


class CompletionChoice(TypedDict):
    index: int
    text: str
    finish_reason: Literal["stop", "length", "content_filter"]
    logprobs: CompletionLogprobs | None


class Completion(TypedDict):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage
    system_fingerprint: NotRequired[Annotated[str, _MADE_BY]]


class CompletionChunkChoice(TypedDict):
    index: int
    text: str
    finish_reason: Literal["stop", "length", "content_filter"] | None
    logprobs: CompletionLogprobs | None


class CompletionChunk(TypedDict):
    """One server-sent event of a streamed completion; after the last comes `[DONE]`."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChunkChoice]
    usage: NotRequired[CompletionUsage | None]
    system_fingerprint: NotRequired[Annotated[str, _MADE_BY]]


class EmbeddingRow(TypedDict):
    object: Literal["embedding"]
    index: int
    embedding: Annotated[Any, {"oneOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]}]


class EmbeddingUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(TypedDict):
    object: Literal["list"]
    data: list[EmbeddingRow]
    model: str
    usage: EmbeddingUsage
