"""The items of conversations and responses as they are told.

They are kept as they are told, JSON in OpenAI's shape; what is left out unless it is asked for is left out here.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from dialects.openai.elsewhere_items import CacheMark, CalledBy, OtherCitation, OtherItem, SeenPart

State = Literal["in_progress", "completed", "incomplete"]
RESULTS, LOGPROBS = "file_search_call.results", "message.output_text.logprobs"
# What a request may ask for beside: of most, nothing is ever there.
INCLUDABLE = (
    RESULTS,
    LOGPROBS,
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
)


class LogprobBeside(TypedDict):
    token: str
    logprob: float
    bytes: list[int]


class OutputLogprob(TypedDict):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[LogprobBeside]


class InputTextPart(TypedDict):
    type: Literal["input_text"]
    text: str
    prompt_cache_breakpoint: NotRequired[Annotated[CacheMark, "Read and not kept."]]


class FileCitation(TypedDict):
    """`index` is the character of the text after which it stands."""

    type: Literal["file_citation"]
    file_id: str
    index: int
    filename: str


class OutputTextPart(TypedDict):
    type: Literal["output_text"]
    text: str
    annotations: list[FileCitation | OtherCitation]
    logprobs: Annotated[list[OutputLogprob], f"Empty unless `include` names `{LOGPROBS}`."]


class RefusalPart(TypedDict):
    type: Literal["refusal"]
    refusal: str


class OtherText(TypedDict):
    type: Literal["text", "summary_text", "reasoning_text"]
    text: str


class MessageItem(TypedDict):
    type: Literal["message"]
    id: str
    status: State
    role: Literal["user", "assistant", "system", "developer"]
    content: list[InputTextPart | OutputTextPart | RefusalPart | OtherText | SeenPart]
    phase: NotRequired[Literal["commentary", "final_answer"] | None]


class FunctionCallItem(TypedDict):
    type: Literal["function_call"]
    id: str
    call_id: str
    name: str
    arguments: Annotated[str, "JSON, which fits the function's schema."]
    status: State
    namespace: NotRequired[str]
    caller: NotRequired[CalledBy | None]
    created_by: NotRequired[str]


class FunctionOutputItem(TypedDict):
    type: Literal["function_call_output"]
    id: str
    call_id: str
    output: str | list[InputTextPart]
    status: State
    name: NotRequired[str]
    namespace: NotRequired[str]
    caller: NotRequired[CalledBy | None]
    created_by: NotRequired[str]


class FoundPassage(TypedDict):
    file_id: str
    filename: str
    score: float
    text: str
    attributes: dict[str, Any] | None


class FileSearchItem(TypedDict):
    type: Literal["file_search_call"]
    id: str
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"]
    queries: list[str]
    results: NotRequired[Annotated[list[FoundPassage] | None, f"Null unless `include` names `{RESULTS}`."]]


class SummaryText(TypedDict):
    type: Literal["summary_text"]
    text: str


class ReasoningText(TypedDict):
    type: Literal["reasoning_text"]
    text: str


class ReasoningItem(TypedDict):
    type: Literal["reasoning"]
    id: str
    summary: list[SummaryText]
    content: NotRequired[list[ReasoningText]]
    encrypted_content: NotRequired[str | None]
    status: NotRequired[State]


class CompactionItem(TypedDict):
    type: Literal["compaction"]
    id: str
    encrypted_content: str
    created_by: NotRequired[str]


ConversationItem = (
    MessageItem | FunctionCallItem | FunctionOutputItem | FileSearchItem | ReasoningItem | CompactionItem | OtherItem
)


def shown(item: Mapping[str, Any], include: Collection[str]) -> dict[str, Any]:
    """The item without what isn't told unless `include` names it: what a search found, how likely tokens were."""
    told = dict(item)
    if told["type"] == "file_search_call" and RESULTS not in include:
        told["results"] = None
    if told["type"] == "message" and LOGPROBS not in include:
        told["content"] = [part | {"logprobs": []} if "logprobs" in part else part for part in told["content"]]
    return told
