"""Conversations as Anthropic's clients send them, blocks of content, read into turns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from tasks import errors
from tasks.kinds.generation import Text, ToolCall, Turn

MAX_BLOCKS = 1000

# What clients send back of other models' answers, and no model here reads.
_UNREAD = frozenset({"thinking", "redacted_thinking"})

Block = Mapping[str, Any]


def turns(system: Any, messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """The conversation, in which no two turns of one side follow each other.

    Raises `InvalidField` naming the message, and `Unsupported` for what isn't text or a function's.
    """
    said = list(_system(system, "system")) if system is not None else []
    for number, message in enumerate(messages):
        said += _READERS[message["role"]](message["content"], f"messages.{number}.content")
    if said[-1].role == "assistant":
        raise errors.Unsupported("messages", "the last is the user's: no model here goes on with an answer's beginning")
    return tuple(_joined(said))


def _joined(said: Sequence[Turn]) -> Iterator[Turn]:
    last = said[0]
    for before, turn in pairwise(said):
        if turn.role == before.role != "tool":
            last = replace(last, parts=last.parts + turn.parts, tool_calls=last.tool_calls + turn.tool_calls)
        else:
            yield last
            last = turn
    yield last


def _system(content: Any, path: str) -> Iterator[Turn]:
    parts = tuple(Text(_text(block, where)) for block, where in _blocks(content, path))
    if any(part.text for part in parts):
        yield Turn("system", parts)


def _user(content: Any, path: str) -> Iterator[Turn]:
    """What tools answered are turns of their own, before and after what the user says."""
    parts: list[Text] = []
    empty = True
    for block, where in _blocks(content, path):
        if block["type"] != "tool_result":
            parts.append(Text(_text(block, where)))
            empty = empty and not parts[-1].text
            continue
        if parts:
            yield Turn("user", tuple(parts))
        parts, empty = [], False
        yield _result(block, where)
    if empty:
        raise errors.InvalidField(path, "the message is empty")
    if parts:
        yield Turn("user", tuple(parts))


def _result(block: Block, path: str) -> Turn:
    call_id = block.get("tool_use_id")
    if not isinstance(call_id, str) or not 1 <= len(call_id) <= 200:
        raise errors.InvalidField(f"{path}.tool_use_id", "names the call that this answers")
    content = block.get("content")
    told = () if content is None else _blocks(content, f"{path}.content")
    parts = tuple(Text(_text(each, where)) for each, where in told)
    return Turn("tool", parts or (Text(""),), tool_call_id=call_id)


def _assistant(content: Any, path: str) -> Iterator[Turn]:
    parts, calls = [], []
    for block, where in _blocks(content, path):
        if block["type"] == "tool_use":
            calls.append(_call(block, where))
        elif block["type"] not in _UNREAD:
            parts.append(Text(_text(block, where)))
    yield Turn("assistant", tuple(parts) or (Text(""),), tuple(calls))


def _call(block: Block, path: str) -> ToolCall:
    for name, most in (("id", 200), ("name", 64)):
        if not isinstance(block.get(name), str) or not 1 <= len(block[name]) <= most:
            raise errors.InvalidField(f"{path}.{name}", f"must be a text of 1 to {most} characters")
    if not isinstance(block.get("input"), Mapping):
        raise errors.InvalidField(f"{path}.input", "must be an object")
    return ToolCall(block["id"], block["name"], json.dumps(block["input"], ensure_ascii=False))


def _text(block: Block, path: str) -> str:
    if block["type"] != "text":
        raise errors.Unsupported(f"{path}.type", f"{block['type'][:64]} isn't supported here: models here read text")
    text = block.get("text")
    if not isinstance(text, str):
        raise errors.InvalidField(f"{path}.text", "must be a text")
    return text


def _blocks(content: Any, path: str) -> Iterator[tuple[Block, str]]:
    """Each block and its path; a text is one block."""
    if isinstance(content, str):
        yield {"type": "text", "text": content}, path
        return
    if not isinstance(content, list):
        raise errors.InvalidField(path, "must be a text or a list of blocks")
    if len(content) > MAX_BLOCKS:
        raise errors.InvalidField(path, f"at most {MAX_BLOCKS} blocks")
    for number, block in enumerate(content):
        if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
            raise errors.InvalidField(f"{path}.{number}.type", "must be a block's type, as in `text`")
        yield block, f"{path}.{number}"


_READERS = {"system": _system, "user": _user, "assistant": _assistant}
