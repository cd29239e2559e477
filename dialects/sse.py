"""Server-sent events (WHATWG HTML, section 9.2), whatever they tell."""

from collections.abc import Mapping
from typing import Any

import orjson

HEARTBEAT_S = 10.0  # a proxy may close what is silent for longer
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
JSON = {"contentMediaType": "application/json"}
# What some clients take for a line's end though the standard doesn't: JSON may have it as it is, within a string.
_LINE_ENDS = {"\x85": b"\\u0085", "\u2028": b"\\u2028", "\u2029": b"\\u2029"}


def described(description: str, data: Mapping[str, Any] = JSON) -> dict[str, Any]:
    """How the page tells of such a stream: the schema of one event."""
    content = {"type": "string", "description": description, **data}
    names = {"id": {"type": "string"}, "event": {"type": "string"}}
    return {"type": "object", "properties": {**names, "data": content}, "required": ["data"]}


def data(value: Any) -> bytes:
    """The value as JSON on one line, whatever a client takes for a line's end."""
    told = orjson.dumps(value)
    if not told.isascii():
        for end, escaped in _LINE_ENDS.items():
            told = told.replace(end.encode(), escaped)
    return told


def event(value: Any) -> bytes:
    """An event without a name."""
    return b"data: " + data(value) + b"\n\n"


def comment(text: str) -> bytes:
    """What no client sees, and every proxy: `text` has no line's end."""
    return f": {text}\n\n".encode()
