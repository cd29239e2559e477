"""The tool `file_search` of `/v1/responses`, read."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import fields, validate

from dialects.fields import Given, Real, Some, Whole, load, within
from dialects.named import VECTOR_STORE
from dialects.openai.requests import vector_stores as requests
from dialects.openai.requests.vector_stores import HybridSearch
from tasks import errors
from tasks.vectorstores.searching import MOST_STORES, RESULTS, FileSearch

TYPE = "file_search"


class FileSearchRanking(Given):
    ranker = fields.String(allow_none=True, validate=validate.OneOf(requests.RANKERS))
    score_threshold = Real(allow_none=True, validate=within(0, 1))
    hybrid_search = fields.Nested(HybridSearch, allow_none=True)


class FileSearchTool(Given):
    type = fields.String(required=True)
    vector_store_ids = Some(VECTOR_STORE.field("A vector store."), MOST_STORES, required=True)
    max_num_results = Whole(allow_none=True, validate=within(1, requests.MAX_RESULTS))
    filters = requests.filter_field()
    ranking_options = fields.Nested(FileSearchRanking, allow_none=True)


_TOOL = FileSearchTool()


def is_search(tool: Any) -> bool:
    return isinstance(tool, Mapping) and tool.get("type") == TYPE


def search(tools: Sequence[Any], choice: Any) -> FileSearch | None:
    """The search that comes before the answer: wherever there is such a tool, unless the choice says otherwise.

    Raises `InvalidField` that names the part of the tool.
    """
    places = [place for place, tool in enumerate(tools) if is_search(tool)]
    if len(places) > 1:
        raise errors.InvalidField(f"tools.{places[1]}", "one file_search is enough: it may name several stores")
    made = [_search(tools[place], f"tools.{place}") for place in places]
    return made[0] if made and _chosen(choice) else None


def functions(tools: Sequence[Any]) -> list[Any]:
    """The others, each in its place: what was taken out is None."""
    return [None if is_search(tool) else tool for tool in tools]


def choice_of_functions(tools: Sequence[Any], choice: Any) -> Any:
    """What the choice says of functions: that a search is to be made says nothing of them."""
    searches = any(is_search(tool) for tool in tools)
    if isinstance(choice, Mapping) and choice.get("type") == TYPE:
        if not searches:
            raise errors.InvalidField("tool_choice.type", "there is no file_search among the tools")
        return "auto"
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools" and searches:
        allowed = choice.get("tools")
        left = [tool for tool in allowed if not is_search(tool)] if isinstance(allowed, list) else allowed
        return {**choice, "tools": left} if left else "auto"
    return "auto" if choice == "required" and all(is_search(tool) for tool in tools) and searches else choice


def _chosen(choice: Any) -> bool:
    if not isinstance(choice, Mapping):
        return bool(choice != "none")
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("tools")
        return isinstance(allowed, list) and any(is_search(tool) for tool in allowed)
    return bool(choice.get("type") == TYPE)


def _search(given: Mapping[str, Any], path: str) -> FileSearch:
    try:
        tool = load(_TOOL, given)
    except errors.InvalidField as error:
        raise errors.InvalidField(f"{path}.{error.field}" if error.field else path, str(error)) from error
    options = tool.get("ranking_options", {})
    return FileSearch(
        stores=tuple(dict.fromkeys(tool["vector_store_ids"])),
        most=tool.get("max_num_results", RESULTS),
        threshold=options.get("score_threshold"),
        filter=tool.get("filters"),
        words_weight=requests.words_weight(options),
    )
