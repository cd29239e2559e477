"""Conversations as Ollama's clients send them, read into turns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks import errors, strictjson
from tasks.kinds.generation import Text, ToolCall, Turn


def turns(messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """The conversation. Raises `InvalidField` naming the message that says nothing."""
    return tuple(_turns(messages))


@dataclass(slots=True)
class _Calls:
    """The calls that no message has answered yet: Ollama's messages name the function at most, or nothing."""

    made: int = 0
    open: list[ToolCall] = field(default_factory=list)

    def make(self, given: Sequence[Mapping[str, Any]]) -> tuple[ToolCall, ...]:
        calls = tuple(self._call(call) for call in given)
        self.open += calls
        return calls

    def answered(self, message: Mapping[str, Any]) -> str:
        """The id of the call that the message answers."""
        named = message.get("tool_name")
        if id := message.get("tool_call_id"):
            return str(id)
        call = next((call for call in self.open if named in (None, call.name)), None)
        if call is None:
            return str(named or "call")
        self.open.remove(call)
        return call.id

    def _call(self, given: Mapping[str, Any]) -> ToolCall:
        function = given["function"]
        self.made += 1
        arguments = strictjson.dumps(function["arguments"])
        return ToolCall(given.get("id", f"call_{self.made}"), function["name"], arguments)


def _turns(messages: Sequence[Mapping[str, Any]]) -> Iterator[Turn]:
    calls = _Calls()
    for number, message in enumerate(messages):
        role, parts = message["role"], (Text(message.get("content", "")),)
        if role == "tool":
            yield Turn(role, parts, tool_call_id=calls.answered(message))
        elif role == "assistant":
            yield Turn(role, parts, calls.make(message.get("tool_calls", ())))
        elif parts[0].text:
            yield Turn(role, parts)
        else:
            raise errors.InvalidField(f"messages.{number}.content", "the message is empty")
