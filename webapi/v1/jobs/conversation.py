"""The messages of a chat, as clients may send them: what they become is always a role and one text each."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.fields import STORABLE, Some, Strict

MAX_MESSAGES = 100
MAX_PARTS = 100  # of a message


def _refuse_other_parts(type: str) -> None:
    if type != "text":
        raise ma.ValidationError(f"{type[:64]} isn't supported: this model reads text")


class TextPart(Strict):
    """A piece of a message."""

    type = fields.String(required=True, validate=_refuse_other_parts, metadata={"enum": ["text"]})
    text = fields.String(required=True, metadata=STORABLE)


_PARTS = TextPart(many=True)
_DOCUMENTED = {
    "description": "A text, or parts of one, joined with newlines. Only an assistant's may be empty, or null.",
    "oneOf": [
        {"type": "string", **STORABLE},
        {"type": "array", "maxItems": MAX_PARTS, "items": {"$ref": "#/components/schemas/TextPart"}},
        {"type": "null"},
    ],
}


class Content(fields.Field[str]):
    """What a message says: one text inside, however many parts it came in."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:  # noqa: ARG002
        if isinstance(value, str):
            return value
        if not isinstance(value, list):
            raise ma.ValidationError("must be a text or a list of text parts")
        if len(value) > MAX_PARTS:
            raise ma.ValidationError(f"at most {MAX_PARTS} parts")
        return "\n".join(part["text"] for part in _PARTS.load(value))


class Message(Strict):
    role = fields.String(
        required=True,
        validate=validate.OneOf(("system", "developer", "user", "assistant")),
        metadata={"description": "`developer` is another word for `system`."},
    )
    content = Content(required=True, allow_none=True, metadata=_DOCUMENTED)

    @ma.post_load
    def _as_stored(self, data: dict[str, Any], **_: Any) -> dict[str, str]:
        role = "system" if data["role"] == "developer" else data["role"]
        if not data["content"] and role != "assistant":
            raise ma.ValidationError({"content": ["the message is empty"]})
        return {"role": role, "content": data["content"] or ""}


class Conversation(Strict):
    messages = Some(Message, MAX_MESSAGES, required=True)
