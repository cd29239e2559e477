"""Which lines of a batch begin alike: those run one after another, where an engine has their beginning evaluated.

Each line has a key of a fixed size, so that those of 50,000 are a megabyte, whatever their prompts are.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks import strictjson
from tasks.ids import Rank

_LENGTHS = (256, 1024, 4096, 16_384)  # characters; below that nothing is won
_LEVELS = len(_LENGTHS) + 1  # and one for what opens the conversation
_DIGEST = 4  # bytes: lines whose hashes are equal by chance stand together in vain
_NOTHING = bytes(_DIGEST)
KEY_BYTES = _LEVELS * _DIGEST
NO_KEY = _NOTHING * _LEVELS
_OPENING = ("system", "developer")


def key(asked: Mapping[str, Any], after: str = "") -> bytes:
    """The key of what a line asks for, given as it is stored (`Stored.input`): hashes of what is put to the model, up
    to each of some lengths and up to the end of its system prompt, shortest first. `after` names what it goes on from.

    `NO_KEY` for what isn't put to a model that writes, and for a short prompt that nothing opens.
    """
    opening, rest = _told(asked)
    opening += after
    most = _LENGTHS[-1]
    told = (opening + rest)[:most]
    ends = sorted({*(length for length in _LENGTHS if length <= len(told)), min(len(opening), most)} - {0})
    if not ends:
        return NO_KEY
    whole, begun, hashes = hashlib.blake2b(digest_size=_DIGEST), 0, bytearray()
    for end in ends[:_LEVELS]:
        whole.update(told[begun:end].encode("utf-8", "surrogatepass"))
        hashes += whole.digest()
        begun = end
    return bytes(hashes + hashes[-_DIGEST:] * (_LEVELS - len(hashes) // _DIGEST))


def ranks(keys: Sequence[bytes]) -> list[Rank]:
    """The place in the order of running of each line, given the lines' keys in the order of the file.

    A group has the lines that begin alike with each other for as long as any of them does with another line; those that
    do with none are one group too. Groups that begin alike with each other are neighbours. They are in the order of
    their first lines, and so are the lines of a group.
    """
    shared = Counter(digest for key in keys for digest in set(_digests(key)))
    groups: dict[bytes, list[int]] = {}
    for line in _together(range(len(keys)), keys, 0):
        alike = (digest for digest in reversed(_digests(keys[line])) if shared[digest] > 1)
        groups.setdefault(next(alike, _NOTHING), []).append(line)
    placed = [(0, 0)] * len(keys)
    for group, lines in enumerate(groups.values()):
        for number, line in enumerate(sorted(lines)):
            placed[line] = (group, number)
    return placed


def _digests(key: bytes) -> list[bytes]:
    return [key[at : at + _DIGEST] for at in range(0, KEY_BYTES, _DIGEST)]


def _together(lines: Sequence[int], keys: Sequence[bytes], level: int) -> Iterator[int]:
    if level == _LEVELS or len(lines) == 1:
        yield from lines
        return
    groups: dict[bytes, list[int]] = {}
    for line in lines:
        groups.setdefault(keys[line][level * _DIGEST : (level + 1) * _DIGEST], []).append(line)
    for group in groups.values():
        yield from _together(group, keys, level + 1)


def _told(asked: Mapping[str, Any]) -> tuple[str, str]:
    """What is put to the model, in the order in which templates have it: what opens it, and the rest."""
    tools = strictjson.dumps(asked["tools"]) if "tools" in asked else ""
    if "items" in asked:  # a response's
        return tools + asked.get("instructions", ""), strictjson.dumps([*asked.get("before", ()), *asked["items"]])
    if "messages" not in asked:
        return "", _prompt(asked)
    turns = asked["messages"]
    first = next((place for place, turn in enumerate(turns) if turn["role"] not in _OPENING), len(turns))
    return tools + _said(turns[:first]), _said(turns[first:])


def _said(turns: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"{turn['role']}\0{_text(turn['content'])}\0{turn.get('tool_calls', '')}\0" for turn in turns)


def _text(content: str | Sequence[Mapping[str, Any]]) -> str:
    return content if isinstance(content, str) else "\n".join(str(part.get("text")) for part in content)


def _prompt(asked: Mapping[str, Any]) -> str:
    given = asked.get("prompt", asked.get("prompt_ids"))
    if given is None:
        given = next(iter(asked.get("prompts", ())), "")
    return given if isinstance(given, str) else " ".join(map(str, given[: _LENGTHS[-1]]))
