"""What Ollama's clients are answered: the shapes of its objects."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

_NS = "Nanoseconds."


class OllamaError(TypedDict):
    error: str


class OllamaFunctionCall(TypedDict):
    name: str
    arguments: dict[str, Any]


class OllamaToolCall(TypedDict):
    id: str
    function: OllamaFunctionCall


class OllamaMessage(TypedDict):
    role: Literal["assistant"]
    content: str
    tool_calls: NotRequired[list[OllamaToolCall]]


class OllamaTop(TypedDict):
    token: str
    logprob: float
    bytes: list[int]


class OllamaLogprob(OllamaTop):
    top_logprobs: list[OllamaTop]


class _Piece(TypedDict):
    model: Annotated[str, "As it was asked for."]
    created_at: str
    done: bool
    done_reason: NotRequired[Annotated[str, "`stop` or `length`; `load` where there was nothing to answer."]]
    logprobs: NotRequired[list[OllamaLogprob]]
    total_duration: NotRequired[Annotated[int, f"{_NS} From being accepted to the end."]]
    load_duration: NotRequired[Annotated[int, f"{_NS} Until a worker had it: there is no loading to wait for."]]
    prompt_eval_count: NotRequired[Annotated[int, "Tokens of the prompt."]]
    eval_count: NotRequired[Annotated[int, "Tokens of the answer."]]
    eval_duration: NotRequired[Annotated[int, f"{_NS} From then to the end, the prompt's part included."]]


class OllamaGenerated(_Piece):
    """An answer, or a piece of one; the last has what it took."""

    response: str


class OllamaChatted(_Piece):
    """An answer to a conversation, or a piece of one; the last has what it took."""

    message: OllamaMessage


class OllamaEmbedded(TypedDict):
    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class OllamaEmbedding(TypedDict):
    """What the older of the two routes answers."""

    embedding: list[float]


class OllamaDetails(TypedDict):
    parent_model: str
    format: Annotated[str, "`gguf`, or our name for the engine where it reads no file."]
    family: str
    families: list[str] | None
    parameter_size: Annotated[str, "Not known here."]
    quantization_level: Annotated[str, "As the file's name says it, if it does."]


class _Known(TypedDict):
    name: str
    model: str
    size: Annotated[int, "Bytes of the file, where this process sees it; else 0."]
    digest: Annotated[str, "Of the catalogue's entry, not of the file."]
    details: OllamaDetails


class OllamaTag(_Known):
    modified_at: str


class OllamaTags(TypedDict):
    models: list[OllamaTag]


class OllamaLoaded(_Known):
    expires_at: Annotated[str, "In another age: workers keep their models."]
    size_vram: int
    context_length: int


class OllamaProcesses(TypedDict):
    models: Annotated[list[OllamaLoaded], "Those that have a worker."]


class OllamaShown(TypedDict):
    modelfile: str
    parameters: str
    template: str
    license: str
    details: OllamaDetails
    model_info: dict[str, Any]
    capabilities: Annotated[list[str], "Of `completion`, `tools` and `embedding`."]
    modified_at: str


class OllamaVersion(TypedDict):
    version: Annotated[str, "Of the Ollama whose words are spoken here."]
