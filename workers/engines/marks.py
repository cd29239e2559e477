"""Special tokens in texts: the template's own stay special, those in users' words become words.

A content is guarded before the template sees it: a NUL, which no content has (PostgreSQL can't keep one), is put
before each special token's name in it. In the rendered text a name is a token unless a NUL stands before it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from tasks import errors
from workers.engines.gguf import Header

# Types of tokens: llama.cpp, include/llama.h, `llama_token_type`.
UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
# Names that end an answer in models whose header names only one end: llama.cpp, src/llama-vocab.cpp.
ENDS = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>")

_GUARD, _CUT = "\0", "\0\0"
_LONGEST = 256  # characters of a name; longer ones are no names

Piece = str | int


@dataclass(frozen=True, slots=True)
class Marks:
    """The names of a vocabulary's special tokens, and which of them a tokenizer finds even in plain text.

    `stubborn` ones are user-defined tokens that mean something to the template or end an answer: llama.cpp makes
    tokens of them however it is asked, so that in contents they have to be cut in two.
    """

    ids: Mapping[str, int]
    names: Mapping[int, str]
    stubborn: frozenset[str]
    pattern: re.Pattern[str]
    beginnings: frozenset[str]  # of names, without their last letter at least
    longest: int  # characters of one of these

    @classmethod
    def of(cls, header: Header, template: str | None) -> Self:
        """The special tokens of a header, and of those that users defined the ones that matter with this template."""
        names = [item.decode("utf-8", "replace") for item in header.items("tokenizer.ggml.tokens", bytes)]
        types = header.items("tokenizer.ggml.token_type", int)
        source = template or ""
        named = dict(zip(names, range(len(names)), strict=True))
        kinds = [(name, kind) for name, kind in zip(names, types, strict=False) if 0 < len(name) <= _LONGEST]
        special = [name for name, kind in kinds if kind in (UNKNOWN, CONTROL)]
        defined = [name for name, kind in kinds if kind == USER_DEFINED and len(name.strip()) > 1]
        stubborn = frozenset(name for name in defined if name in source or name in ENDS)
        return cls.named({name: named[name] for name in (*special, *stubborn)}, stubborn)

    @classmethod
    def named(cls, ids: Mapping[str, int], stubborn: frozenset[str] = frozenset()) -> Self:
        names = {number: name for name, number in ids.items()}
        beginnings = frozenset(name[:end] for name in ids for end in range(1, len(name)))
        longest = max(map(len, beginnings), default=0)
        return cls(ids, names, stubborn, re.compile(_alternatives(ids)), beginnings, longest)

    def guarded(self, content: str) -> str:
        """The content, its special tokens' names marked as words. Names that overlap are all marked.

        So is an end that could be the beginning of a name with what the template writes after it.
        """
        starts = {found.start(): found[1] for found in re.finditer(f"(?=({self.pattern.pattern}))", content)}
        ends = range(max(0, len(content) - self.longest), len(content))
        starts |= {at: "" for at in ends if at not in starts and content[at:] in self.beginnings}
        parts, done = [], 0
        for at, name in sorted(starts.items()):
            parts += [content[done:at], _GUARD]
            done = at + (name in self.stubborn)
            parts += [content[at:done], _CUT] * (name in self.stubborn)
        return "".join([*parts, content[done:]])

    def guarded_messages(self, messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The messages with all that clients are free to write guarded. Raises what `guarded_values` does."""
        return [{**self.guarded_values(message), "role": message["role"]} for message in messages]

    def guarded_values(self, value: Any) -> Any:
        """JSON of which every text is guarded, the names in objects too.

        Raises `EngineRefused` when it is nested too deeply.
        """
        try:
            return self._guarded(value)
        except RecursionError as error:
            raise errors.EngineRefused("the tools or the calls are nested too deeply") from error

    def _guarded(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.guarded(value)
        if isinstance(value, Mapping):
            return {self.guarded(name): self._guarded(one) for name, one in value.items()}
        return [self._guarded(one) for one in value] if isinstance(value, Sequence) else value

    def spoken(self, text: str) -> str:
        """What of a template's text an answer has: no tokens that write nothing."""
        silent = Marks.named({name: id for name, id in self.ids.items() if name not in self.stubborn})
        return silent.pattern.sub("", text)

    def split(self, text: str) -> list[Piece]:
        """A text whose contents were guarded, as token ids and the texts between them, without guards."""
        pieces: list[Piece] = []
        at = 0
        for found in re.finditer(f"(?<!{_GUARD})(?:{self.pattern.pattern})", text):
            pieces += [*_plain(text[at : found.start()]), self.ids[found[0]]]
            at = found.end()
        return [*pieces, *_plain(text[at:])]

    def text(self, pieces: Iterable[Piece]) -> str:
        """What was split, as one text again."""
        return "".join(piece if isinstance(piece, str) else self.names[piece] for piece in pieces)


def _plain(text: str) -> Sequence[str]:
    return [part.replace(_GUARD, "") for part in text.split(_CUT) if part.replace(_GUARD, "")]


def _alternatives(names: Iterable[str]) -> str:
    """A pattern for the longest of the names at a place, in steps that don't depend on how many names there are.

    A tree of their letters: a vocabulary has thousands of special tokens, most with the same beginning.
    """
    tree: dict[str, Any] = {}
    for name in names:
        branch = tree
        for letter in name:
            branch = branch.setdefault(letter, {})
        branch[""] = {}
    return _branch(tree) if tree else r"(?!)"


def _branch(tree: Mapping[str, Any]) -> str:
    stem = ""
    while len(tree) == 1 and "" not in tree:
        [(letter, tree)] = tree.items()
        stem += re.escape(letter)
    options = [re.escape(letter) + _branch(rest) for letter, rest in tree.items() if letter]
    if not options:
        return stem
    return f"{stem}(?:{'|'.join(options)}){'?' if '' in tree else ''}"
