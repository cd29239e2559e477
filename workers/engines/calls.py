"""How a model writes calls of tools: by its own chat template where that knows of them, else in a way of ours.

A template is asked by what it makes of a conversation that has a call. The conventions are Hugging Face's: `tools` are
as OpenAI has them, a call's arguments are a dictionary. Some templates want them as text.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import errors
from tasks.models.engine import OUR_CALLS, CallFormat
from workers.engines import templates
from workers.engines.marks import ENDS, Marks
from workers.engines.templates import Render

_SOURCE = Path(__file__).with_name("tools.jinja")
# What is looked for in what a template writes; ids of nine letters and digits are the only ones that Mistral's takes.
_NAMES, _IDS = ("probe_alpha", "probe_beta"), ("probe0001", "probe0002")
_ARGUMENTS = ({"first_key": "first value"}, {"second_key": "second value"})
_DESCRIPTION, _RESULT, _SAID = "a probe of tools", "what the probe gave", "just words"
_ASKED = {"role": "user", "content": "hello"}

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """A model's way to write calls; `native` is its template's own, in which arguments may have to be `text`."""

    format: CallFormat
    native: bool = False
    text: bool = False


def learn(render: Render | None, eos: str, marks: Marks) -> Written:
    """How the template writes calls; ours where it knows of none, or writes them in no way that can be told."""
    for text in (False, True):
        try:
            found = render and _derived(render, text, eos)
        except errors.EngineRefused:
            continue
        format = found and _spoken(found, marks)
        if format and format.before and format.between:  # else special tokens alone say what is a call, and a name
            return Written(format, native=True, text=text)
    return Written(OUR_CALLS)


def rendered(render: Render, written: Written, messages: Sequence[Message], tools: Sequence[Message]) -> str:
    """The conversation's text, by the template alone or with ours before it. Raises `EngineRefused`."""
    if written.native:
        return render([_native(message, written.text) for message in messages], tools)
    return render(_plain(messages, tools))


def _spoken(found: CallFormat, marks: Marks) -> CallFormat:
    """The format as answers have it. The `separator` found is all that stands between the arguments and the next name.

    Where that isn't the end of one call and the beginning of another, as in a list, an answer has but one.
    """
    texts = (found.before, found.between, found.after, found.separator)
    before, between, after, separator = map(marks.spoken, texts)
    before = before.lstrip()
    apart = separator.removeprefix(after).removesuffix(before)
    parallel = found.parallel and after + apart + before == separator
    return CallFormat(before, between, after, apart if parallel else "", parallel)


def _derived(render: Render, text: bool, eos: str) -> CallFormat | None:
    """What stands around names and arguments. None when the template leaves anything out, or more than one is found."""
    tools = [_tool(name) for name in _NAMES]
    asked = render([_ASKED], tools)
    if not all(name in asked for name in (*_NAMES, _DESCRIPTION)):
        return None
    one = _answer(render, 1, text, tools, asked)
    answered = [
        _ASKED,
        _turn(1, text),
        {"role": "tool", "content": _RESULT, "name": _NAMES[0], "tool_call_id": _IDS[0]},
    ]
    if one is None or _RESULT not in render(answered, tools):
        return None
    around = _around(one, 1)
    if around is None:
        return None
    before, between, after = around
    after = _cut(after, (eos, *ENDS))
    separator = _separator(render, text, tools, asked, around)
    return CallFormat(before, between, after, separator or "", parallel=separator is not None)


def _separator(render: Render, text: bool, tools: Sequence[Message], asked: str, around: tuple[str, ...]) -> str | None:
    """What stands between one call's arguments and the next one's name. None when there can be but one call."""
    try:
        two = _answer(render, 2, text, tools, asked)
    except errors.EngineRefused:
        return None
    found = _around(two, 2) if two else None
    if found is None or (found[0], found[1], found[3], found[4]) != (around[0], around[1], around[1], around[2]):
        return None
    return found[2]


def _answer(render: Render, calls: int, text: bool, tools: Sequence[Message], asked: str) -> str | None:
    """What an answer of so many calls is, without ids; None when it isn't what follows the question."""
    whole = render([_ASKED, _turn(calls, text)], tools, answers=False)
    if not whole.startswith(asked):
        return None
    answer = whole[len(asked) :]
    for id in _IDS:
        answer = re.sub(rf',\s*"id":\s*"{id}"|"id":\s*"{id}",\s*', "", answer)
    return None if any(id in answer for id in _IDS) else answer


def _around(answer: str, calls: int) -> tuple[str, ...] | None:
    """The texts around name and arguments of each call. None when one of these isn't there, or more than once."""
    parts = []
    for name, arguments in zip(_NAMES[:calls], _ARGUMENTS[:calls], strict=True):
        for wanted in ((name,), _spellings(arguments)):
            found = [spelling for spelling in wanted if answer.count(spelling) == 1]
            if not found:
                return None
            before, _, answer = answer.partition(found[0])
            parts.append(before)
    return (*parts, answer)


def _spellings(arguments: Any) -> tuple[str, ...]:
    """The ways in which templates write JSON."""
    return json.dumps(arguments), json.dumps(arguments, separators=(",", ":")), json.dumps(arguments, indent=4)


def _cut(text: str, ends: Sequence[str]) -> str:
    """Up to the first of the names that end an answer."""
    return text[: min((at for end in ends if end and (at := text.find(end)) >= 0), default=len(text))]


def _tool(name: str) -> Message:
    schema = {"type": "object", "properties": {key: {"type": "string"} for each in _ARGUMENTS for key in each}}
    return {"type": "function", "function": {"name": name, "description": _DESCRIPTION, "parameters": schema}}


def _turn(calls: int, text: bool) -> Message:
    made = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(given) if text else given}}
        for id, name, given in zip(_IDS, _NAMES, _ARGUMENTS, strict=True)
    ]
    return {"role": "assistant", "content": "", "tool_calls": made[:calls]}


def _native(message: Message, text: bool) -> Message:
    """The message with ids that every template takes."""
    changed = dict(message)
    if message.get("tool_call_id"):
        changed["tool_call_id"] = _short(message["tool_call_id"])
    if message.get("tool_calls"):
        changed["tool_calls"] = [_native_call(call, text) for call in message["tool_calls"]]
    return changed


def _native_call(call: Message, text: bool) -> Message:
    arguments = call["function"]["arguments"]
    if text and not isinstance(arguments, str):
        arguments = templates.to_json(arguments)
    return {**call, "id": _short(call["id"]), "function": {**call["function"], "arguments": arguments}}


def _short(id: str) -> str:
    """Nine letters and digits for the id of a call."""
    return hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()[:9]


def _plain(messages: Sequence[Message], tools: Sequence[Message]) -> list[Message]:
    """Calls and what came of them as what the two sides say, in turn: templates want no two of one side's."""
    said = [_said(message) for message in messages]
    if tools:
        described = {"role": "system", "content": _ours()(part="system", tools=tools), "made": True}
        said.insert(sum(message["role"] == "system" for message in said[:1]), described)
    turns: list[Message] = []
    for message in said:
        last = turns[-1] if turns else {}
        if last.get("role") == message["role"] and ("made" in message or "made" in last):
            turns[-1] = {
                **last,
                "content": "\n".join(filter(None, [last["content"], message["content"]])),
                "made": True,
            }
        else:
            turns.append(message)
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


def _said(message: Message) -> Message:
    """The message as plain words; `made` marks those that come from us."""
    if message.get("tool_calls"):
        calls = _ours()(part="calls", calls=message["tool_calls"])
        return {"role": "assistant", "content": "\n".join(filter(None, [message["content"], calls]))}
    if message["role"] == "tool":
        return {"role": "user", "content": _ours()(part="result", content=message["content"]), "made": True}
    return message


@functools.cache
def _ours() -> Any:
    return templates.environment().from_string(_SOURCE.read_text(encoding="utf-8")).render
