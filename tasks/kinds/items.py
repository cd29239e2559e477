"""The items of a response, as it is stored, made into the turns of a conversation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tasks.kinds import compaction
from tasks.kinds.generation import Text, ToolCall, Turn

_CALLED, _ANSWERED = "function_call", "function_call_output"


def turns(items: Iterable[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """What the model reads of them: messages, calls of functions, what those gave, summaries; nothing of the rest."""
    made: list[Turn] = []
    for item in items:
        if item["type"] == "message":
            role = "system" if item["role"] == "developer" else item["role"]
            made.append(Turn(role, tuple(Text(_text(part)) for part in item["content"])))
        elif item["type"] == _CALLED:
            _call(made, ToolCall(item["call_id"], item["name"], item["arguments"]))
        elif item["type"] == _ANSWERED:
            made.append(Turn("tool", (Text(_output(item["output"])),), tool_call_id=item["call_id"]))
        elif item["type"] == compaction.TYPE:
            summed_up = compaction.opened(item["encrypted_content"]) or ""
            made.append(Turn("assistant", (Text(compaction.SUMMED_UP + summed_up),)))
    return tuple(made)


def _call(made: list[Turn], call: ToolCall) -> None:
    """What an assistant says and the functions that it has called at once are one turn."""
    if made and made[-1].role == "assistant":
        last = made.pop()
        made.append(Turn(last.role, last.parts, (*last.tool_calls, call)))
    else:
        made.append(Turn("assistant", (Text(""),), (call,)))


def _text(part: Mapping[str, Any]) -> str:
    return str(part["refusal"] if part["type"] == "refusal" else part["text"])


def _output(output: Any) -> str:
    return output if isinstance(output, str) else "\n".join(_text(part) for part in output)


def read(items: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Those of them that a model reads, without what it doesn't read of a message: what that rests on."""
    for item in items:
        if item["type"] == "message":
            parts = [
                {**part, "annotations": [], "logprobs": []} if "annotations" in part else part
                for part in item["content"]
            ]
            yield {**item, "content": parts}
        elif item["type"] in (_CALLED, _ANSWERED, compaction.TYPE):
            yield item


def starts(items: Sequence[Mapping[str, Any]], also: int) -> list[int]:
    """The places from which on they make sense by themselves: the first, those of a user's messages, and `also`;
    none between a function's call and its output."""
    called: dict[str, int] = {}
    needs = []  # the place that each item can't do without
    for place, item in enumerate(items):
        if item["type"] == _CALLED:
            called[item["call_id"]] = place
        needs.append(called.get(item["call_id"], place) if item["type"] == _ANSWERED else place)
    found, needed = [], len(items)
    for place in range(len(items) - 1, 0, -1):
        needed = min(needed, needs[place])
        if needed == place and (place == also or items[place].get("role") == "user"):
            found.append(place)
    return [0, *reversed(found)]


def loose_end(items: Iterable[Mapping[str, Any]]) -> str | None:
    """What is wrong with its functions' calls and their outputs, in a sentence; None where each has the other."""
    known, unanswered = set[str](), dict[str, None]()
    for item in items:
        call_id = item.get("call_id", "")
        if item["type"] == _CALLED:
            if call_id in unanswered:
                return f"Function call {call_id[:64]} is there a second time, before its tool output."
            known.add(call_id)
            unanswered[call_id] = None
        elif item["type"] == _ANSWERED:
            if call_id not in known:
                return f"No tool call found for function call output with call_id {call_id[:64]}."
            unanswered.pop(call_id, None)
    for call_id in unanswered:
        return f"No tool output found for function call {call_id[:64]}."
    return None
