"""What a stored completion was asked, message by message, as OpenAI tells it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

from dialects.openai.answers import CalledFunction, MessageToolCall
from dialects.openai.elsewhere import Annotation, Breakpoint, Image, SpokenAnswer
from dialects.openai.render import chat


class StoredPart(TypedDict):
    """A part of a message that was sent in parts. Only texts are ever there."""

    type: Literal["text"]
    text: str
    image_url: NotRequired[Image]
    prompt_cache_breakpoint: NotRequired[Breakpoint]


class StoredMessage(TypedDict):
    id: str
    role: Literal["system", "user", "assistant", "tool"]
    content: str | None
    content_parts: list[StoredPart] | None
    name: str | None
    refusal: str | None
    annotations: list[Annotation]
    tool_calls: NotRequired[list[MessageToolCall]]
    tool_call_id: NotRequired[str]
    function_call: NotRequired[CalledFunction]
    audio: NotRequired[SpokenAnswer | None]


def messages(completion_id: str, asked: Sequence[Mapping[str, Any]]) -> list[StoredMessage]:
    """`asked` are the messages as they are stored."""
    return [_message(f"{completion_id}-{place}", message) for place, message in enumerate(asked)]


def _message(id: str, asked: Mapping[str, Any]) -> StoredMessage:
    content = asked["content"]
    parts = None if isinstance(content, str) else [_part(part["text"]) for part in content]
    told: StoredMessage = {
        "id": id,
        "role": asked["role"],
        "content": content if parts is None else "\n".join(part["text"] for part in parts),
        "content_parts": parts,
        "name": None,
        "refusal": None,
        "annotations": [],
    }
    if asked.get("tool_calls"):
        told["tool_calls"] = [chat.call(call) for call in asked["tool_calls"]]
        told["content"] = told["content"] or None
    if "tool_call_id" in asked:
        told["tool_call_id"] = asked["tool_call_id"]
    return told


def _part(text: str) -> StoredPart:
    return {"type": "text", "text": text}
