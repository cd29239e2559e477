"""Items: what responses and conversations are made of, as OpenAI's clients send them, and as they are kept.

A kept item is JSON in OpenAI's shape, checked, its texts in parts. `tasks.kinds.items` makes turns of them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dialects.fields import STORABLE
from dialects.openai.requests import elsewhere_items as elsewhere
from dialects.plainjson import refuse_unstorable
from tasks import errors
from tasks.kinds import compaction
from tasks.kinds import items as kept

turns = kept.turns

ROLES = ("user", "assistant", "system", "developer")
MAX_ITEMS = 1000
_MAX_PARTS = 100
_MAX_ID = 200
_STATUSES = ("in_progress", "completed", "incomplete")
# Parts that are text, and where.
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}

Item = dict[str, Any]

_TEXT: dict[str, Any] = {"type": "string", **STORABLE}
_OR_NULL = {"type": ["string", "null"], **STORABLE}
_PART = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": [*_TEXTS, "reasoning_text", "input_image", "input_file"]},
        "text": _TEXT,
        "refusal": _TEXT,
        "prompt_cache_breakpoint": elsewhere.BREAKPOINT,
        **elsewhere.SAID,
        **elsewhere.SEEN,
    },
    "required": ["type"],
    "description": "Images, sounds and files are refused: models here read text.",
}
_CONTENT = {"oneOf": [_TEXT, {"type": "array", "items": _PART}]}
_GIVEN = {
    "oneOf": [
        *_CONTENT["oneOf"],
        {"type": "array", "items": {"type": "object", "properties": elsewhere.OUTPUT_PART}},
        elsewhere.SCREEN,
        {"type": "null"},
    ]
}
_TYPES = ("message", "function_call", "function_call_output", "item_reference", "reasoning", "file_search_call")
ITEM = {
    "type": "object",
    "description": "A message, a function's call or its output, a reference to another response's item, a compaction;"
    " of the types `reasoning` and `file_search_call` what an answer had, which is kept and not read. The other types,"
    " of tools that nobody here has, are refused.",
    "properties": {
        "type": {
            "type": ["string", "null"],
            "enum": [*_TYPES, compaction.TYPE, *elsewhere.ITEM_TYPES, None],
        },
        "id": _OR_NULL,
        "role": {"type": "string", "enum": list(ROLES)},
        "content": _CONTENT,
        "phase": {"type": ["string", "null"], "enum": ["commentary", "final_answer", None]},
        "call_id": _OR_NULL,
        "name": _OR_NULL,
        "arguments": {"type": ["string", "object"], **STORABLE},
        "output": _GIVEN,
        "status": {"type": ["string", "null"], "enum": [*_STATUSES, *elsewhere.STATUSES, None]},
        "summary": {"type": "array", "items": elsewhere.SUMMARY},
        "encrypted_content": _OR_NULL,
        "queries": {"type": "array", "items": {"type": "string"}},
        "results": {"type": ["array", "null"], "items": elsewhere.FOUND},
        **elsewhere.ITEM,
    },
}
INPUT = {"oneOf": [_TEXT, {"type": "array", "items": ITEM, "maxItems": MAX_ITEMS}, {"type": "null"}]}


def read(given: Any, path: str = "input") -> list[Item]:
    """The items that are given: a text, which a user says, or a list. Raises `InvalidField` naming the item, and
    `Unsupported` for what isn't text."""
    if isinstance(given, str):
        if not given:
            raise errors.InvalidField(path, "the text is empty")
        return [{"type": "message", "role": "user", "content": [_input(given)]}]
    if not isinstance(given, list):
        raise errors.InvalidField(path, "must be a text or a list of items")
    if len(given) > MAX_ITEMS:
        raise errors.InvalidField(path, f"at most {MAX_ITEMS} items")
    return [_item(item, f"{path}.{number}") for number, item in enumerate(given)]


def _item(given: Any, path: str) -> Item:
    if not isinstance(given, Mapping):
        raise errors.InvalidField(path, "must be an item")
    type = given.get("type")
    if type is None:
        type = "message" if "role" in given else "item_reference"
    readers = _READERS.get(type) if isinstance(type, str) else None
    if readers is None:
        raise errors.Unsupported(f"{path}.type", f"{str(type)[:64]} isn't supported here")
    item = {"type": type, **readers(given, path)}
    if given.get("id") is not None:
        item["id"] = _short(given, "id", path)
    if given.get("status") in _STATUSES:
        item["status"] = given["status"]
    return item


def _message(given: Mapping[str, Any], path: str) -> Item:
    role = given.get("role")
    if role not in ROLES:
        raise errors.InvalidField(f"{path}.role", f"must be one of: {', '.join(ROLES)}")
    parts = list(_parts(given.get("content"), f"{path}.content", role))
    if role != "assistant" and not any(part.get("text") for part in parts):
        raise errors.InvalidField(f"{path}.content", "the message is empty")
    return {"role": role, "content": parts}


def _call(given: Mapping[str, Any], path: str) -> Item:
    arguments = given.get("arguments")
    if not isinstance(arguments, str):
        raise errors.InvalidField(f"{path}.arguments", "must be a text: JSON")
    return {"call_id": _short(given, "call_id", path), "name": _short(given, "name", path), "arguments": arguments}


def _output(given: Mapping[str, Any], path: str) -> Item:
    output = given.get("output")
    if not isinstance(output, str):
        output = list(_parts(output, f"{path}.output", "user"))
    return {"call_id": _short(given, "call_id", path), "output": output}


def _reference(given: Mapping[str, Any], path: str) -> Item:
    return {"id": _short(given, "id", path)}


def _reasoning(given: Mapping[str, Any], path: str) -> Item:
    return {"summary": _list(given, "summary", path), **_some(given, ("content", "encrypted_content"))}


def _search(given: Mapping[str, Any], path: str) -> Item:
    return {"queries": _list(given, "queries", path), **_some(given, ("results",))}


def _compaction(given: Mapping[str, Any], path: str) -> Item:
    content, where = given.get("encrypted_content"), f"{path}.encrypted_content"
    text = compaction.opened(content)
    if text is None:
        raise errors.InvalidField(where, "isn't a compaction that was made here")
    refuse_unstorable(text, (where,))
    return {"encrypted_content": content}


_READERS: dict[str, Callable[[Mapping[str, Any], str], Item]] = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _output,
    "item_reference": _reference,
    "reasoning": _reasoning,
    "file_search_call": _search,
    compaction.TYPE: _compaction,
}


def _parts(content: Any, path: str, role: str) -> Iterator[Item]:
    """The parts of a content, each of the type that such a role's have."""
    if isinstance(content, str):
        yield _said(content) if role == "assistant" else _input(content)
        return
    if not isinstance(content, list):
        raise errors.InvalidField(path, "must be a text or a list of parts")
    if len(content) > _MAX_PARTS:
        raise errors.InvalidField(path, f"at most {_MAX_PARTS} parts")
    for number, part in enumerate(content):
        yield _part(part, f"{path}.{number}", role)


def _part(given: Any, path: str, role: str) -> Item:
    if not isinstance(given, Mapping) or not isinstance(given.get("type"), str):
        raise errors.InvalidField(f"{path}.type", "must be a part's type, as in `input_text`")
    name = _TEXTS.get(given["type"])
    if name is None:
        raise errors.Unsupported(f"{path}.type", f"{given['type'][:64]} isn't supported: models here read text")
    text = given.get(name)
    if not isinstance(text, str):
        raise errors.InvalidField(f"{path}.{name}", "must be a text")
    if name == "refusal":
        return {"type": "refusal", "refusal": text}
    return _said(text, given.get("annotations")) if role == "assistant" else _input(text)


def _input(text: str) -> Item:
    return {"type": "input_text", "text": text}


def _said(text: str, annotations: Any = None) -> Item:
    noted = annotations if isinstance(annotations, list) else []
    return {"type": "output_text", "text": text, "annotations": noted, "logprobs": []}


def _short(given: Mapping[str, Any], name: str, path: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_ID:
        raise errors.InvalidField(f"{path}.{name}", f"must be a text of 1 to {_MAX_ID} characters")
    return value


def _list(given: Mapping[str, Any], name: str, path: str) -> list[Any]:
    value = given.get(name, [])
    if not isinstance(value, list):
        raise errors.InvalidField(f"{path}.{name}", "must be a list")
    return value


def _some(given: Mapping[str, Any], names: tuple[str, ...]) -> Item:
    return {name: given[name] for name in names if given.get(name) is not None}
