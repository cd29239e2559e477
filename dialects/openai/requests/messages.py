"""Conversations as OpenAI's clients send them, read into turns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.fields import STORABLE
from dialects.openai.requests import elsewhere
from tasks import errors
from tasks.kinds.generation import Text, ToolCall, Turn

ROLES = ("developer", "system", "user", "assistant", "tool", "function")
MAX_MESSAGES = 1000
_MAX_PARTS = 100
_MAX_CALLS = 128
# Parts of a message that are text, and where.
_TEXTS = {"text": "text", "refusal": "refusal", "input_text": "text", "output_text": "text"}

_PARTS = (
    elsewhere.TEXT_PART,
    elsewhere.REFUSAL_PART,
    elsewhere.IMAGE_PART,
    elsewhere.SOUND_PART,
    elsewhere.FILE_PART,
    {"type": "object", "description": "Of the types `input_text` and `output_text`, as `text`."},
)
_CONTENT = {
    "description": "A text, or parts of the type `text`, joined with newlines. Only an assistant's may be null.",
    "oneOf": [
        {"type": "string", **STORABLE},
        {"type": "array", "items": {"anyOf": list(_PARTS)}},
        {"type": "null"},
    ],
}


class _Lenient(ma.Schema):
    """Clients send back what they were answered, with whatever else they keep in it."""

    class Meta:
        unknown = ma.EXCLUDE


class RequestedFunction(_Lenient):
    name = fields.String(required=True, validate=validate.Length(1, 64), metadata=STORABLE)
    arguments = fields.String(required=True, metadata={"description": "JSON.", **STORABLE})


class MadeCall(_Lenient):
    id = fields.String(required=True, validate=validate.Length(1, 200), metadata=STORABLE)
    type = fields.String(load_default="function", validate=validate.OneOf(("function", "custom")))
    function = fields.Nested(RequestedFunction)
    custom = fields.Raw(metadata=elsewhere.CUSTOM_CALL)


class RequestMessage(_Lenient):
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    content = fields.Raw(allow_none=True, metadata=_CONTENT)
    name = fields.String(allow_none=True, metadata=STORABLE)
    refusal = fields.String(allow_none=True, metadata=STORABLE)
    tool_calls = fields.List(fields.Nested(MadeCall), allow_none=True, validate=validate.Length(max=_MAX_CALLS))
    tool_call_id = fields.String(allow_none=True, metadata=STORABLE)
    function_call = fields.Nested(
        RequestedFunction, allow_none=True, metadata={"description": "The older `tool_calls`."}
    )
    audio = fields.Raw(allow_none=True, metadata=elsewhere.SPOKEN)


def turns(messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """The conversation. Raises `InvalidField` naming the message, and `Unsupported` for what isn't text."""
    return tuple(_turn(message, f"messages.{number}") for number, message in enumerate(messages))


def _turn(message: Mapping[str, Any], path: str) -> Turn:
    role, content = message["role"], message.get("content")
    if message.get("audio"):
        raise errors.Unsupported(f"{path}.audio", "models here read text")
    parts = tuple(Text(text) for text in _texts(content, f"{path}.content"))
    if role in ("tool", "function"):
        answered = message.get("tool_call_id") or message.get("name")
        if not answered:
            raise errors.InvalidField(f"{path}.tool_call_id", "names the call that this message answers")
        return Turn("tool", parts or (Text(""),), tool_call_id=answered)
    calls = tuple(_calls(message, path)) if role == "assistant" else ()
    if not calls and not any(part.text for part in parts) and role != "assistant":
        raise errors.InvalidField(f"{path}.content", "the message is empty")
    return Turn("system" if role == "developer" else role, parts or (Text(""),), calls)


def _calls(message: Mapping[str, Any], path: str) -> Iterator[ToolCall]:
    if older := message.get("function_call"):
        yield ToolCall(older["name"], older["name"], older["arguments"])
    for number, call in enumerate(message.get("tool_calls") or ()):
        if call["type"] != "function" or "function" not in call:
            raise errors.Unsupported(f"{path}.tool_calls.{number}", "only functions can be called here")
        yield ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])


def _texts(content: Any, path: str) -> Iterator[str]:
    if content is None:
        return
    if isinstance(content, str):
        yield content
        return
    if not isinstance(content, list):
        raise errors.InvalidField(path, "must be a text or a list of parts")
    if len(content) > _MAX_PARTS:
        raise errors.InvalidField(path, f"at most {_MAX_PARTS} parts")
    for number, part in enumerate(content):
        if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
            raise errors.InvalidField(f"{path}.{number}.type", "must be a part's type, as in `text`")
        name = _TEXTS.get(part["type"])
        if name is None:
            raise errors.Unsupported(
                f"{path}.{number}.type", f"{part['type'][:64]} isn't supported: models here read text"
            )
        if not isinstance(part.get(name), str):
            raise errors.InvalidField(f"{path}.{number}.{name}", "must be a text")
        yield part[name]
