"""Regular expressions as JSON Schema has them (ECMA-262, section 22.2), as grammars of the strings they are found in.

What no grammar can say is left out, which allows more: look-around, word boundaries, back references. Classes like
`\\s` mean what ECMA and Python's `re` with `ASCII` agree on, so that either finds what was made.
"""

import re
from dataclasses import dataclass
from functools import cache

from tasks import errors
from tasks.shapes import charsets
from tasks.shapes.grammar import (
    EMPTY,
    NEVER,
    Choice,
    Node,
    Reference,
    Repeat,
    Sequence,
    characters_in,
    choice,
    literal,
    repeat,
    sequence,
    walk,
)

ANY = characters_in(charsets.ALL)
ANYTHING = repeat(ANY)
MAX_LENGTH = 4_096
MAX_REPEATS = 10_000

_START, _END = Reference("^"), Reference("$")
_DIGIT = charsets.of((0x30, 0x39))
_WORD = charsets.of((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A), "_")
_SPACE = charsets.of(" \t\n\v\f\r")
_SPACES = charsets.of(
    " \t\n\v\f\r\u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff\u0085", (0x1C, 0x1F), (0x2000, 0x200A)
)
_LINE_ENDS = charsets.of("\n\r\u2028\u2029")
_DOT = characters_in(charsets.without(charsets.ALL, _LINE_ENDS))
_CLASSES = {
    "d": _DIGIT,
    "D": charsets.without(charsets.ALL, _DIGIT),
    "w": _WORD,
    "W": charsets.without(charsets.ALL, _WORD),
    "s": _SPACE,
    "S": charsets.without(charsets.ALL, _SPACES),
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_DEEP = 50


_NAMED_GROUP = re.compile(r"\(\?<(?![=!])")
_CLOSING = re.compile(r"(?<!\\)((?:\\\\)*)\$$")


class Unreadable(errors.ForebayError):
    """The expression is wrong, or says what can't be honoured."""


@dataclass(frozen=True, slots=True)
class Strings:
    """The strings in which an expression is found; when not `exact`, and some in which it isn't."""

    node: Node
    exact: bool


def strings(pattern: str) -> Strings:
    """The strings in which the expression is found, not yet written as JSON. Raises `Unreadable`."""
    if len(pattern) > MAX_LENGTH:
        raise Unreadable(f"it has more than {MAX_LENGTH} characters")
    parser = _Parser(pattern)
    node = parser.read()
    try:
        python(pattern)  # which the check needs
    except (re.error, RecursionError, OverflowError) as error:
        raise Unreadable(str(error)) from error
    anchored, free = _edge(node, _START, first=True)
    begun = choice(anchored, sequence(ANYTHING, free))
    anchored, free = _edge(begun, _END, first=False)
    node = choice(anchored, sequence(free, ANYTHING))
    if any(isinstance(inner, Reference) for inner in walk(node)):
        raise Unreadable("an anchor in the middle isn't supported")
    return Strings(node, parser.exact)


@cache
def python(pattern: str) -> re.Pattern[str]:
    """The expression for Python's `re`, which backtracks. Raises `re.error`."""
    return re.compile(_CLOSING.sub(r"\1\\Z", _NAMED_GROUP.sub("(?P<", pattern)), re.ASCII)


def _edge(node: Node, anchor: Node, *, first: bool) -> tuple[Node, Node]:
    """What of the node has the anchor at that edge, without it, and what hasn't."""
    if node == anchor:
        return EMPTY, NEVER
    if anchor not in walk(node):
        return NEVER, node
    if isinstance(node, Choice):
        edges = [_edge(arm, anchor, first=first) for arm in node.arms]
        return choice(*(edge[0] for edge in edges)), choice(*(edge[1] for edge in edges))
    if isinstance(node, Repeat) and node.most == 1:
        anchored, free = _edge(node.node, anchor, first=first)
        return anchored, choice(free, EMPTY)
    if not isinstance(node, Sequence):
        raise Unreadable("a repeated anchor isn't supported")
    parts = node.parts if first else node.parts[::-1]
    anchored, free = _edge(parts[0], anchor, first=first)
    more = parts[1:] if first else parts[:0:-1]
    behind = sequence(*more)
    if anchored == EMPTY and anchor in walk(behind):  # as in `^^`
        behind = choice(*_edge(behind, anchor, first=first))
    return _put(anchored, behind, first=first), _put(free, sequence(*more), first=first)


def _put(edge: Node, behind: Node, *, first: bool) -> Node:
    return sequence(edge, behind) if first else sequence(behind, edge)


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._text, self._at, self.exact, self._depth = pattern, 0, True, 0

    def read(self) -> Node:
        node = self._alternatives()
        if self._at < len(self._text):
            raise Unreadable(f"unmatched ')' at {self._at}")
        return node

    def _alternatives(self) -> Node:
        arms = [self._terms()]
        while self._take("|"):
            arms.append(self._terms())
        return choice(*arms)

    def _terms(self) -> Node:
        parts = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._quantified(self._atom()))
        return sequence(*parts)

    def _take(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise Unreadable("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _atom(self) -> Node:
        one = self._next()
        if one == "(":
            return self._group()
        if one == "[":
            return characters_in(self._set())
        if one == "\\":
            return self._escape()
        if one in "*+?":
            raise Unreadable(f"nothing to repeat at {self._at - 1}")
        return {".": _DOT, "^": _START, "$": _END}.get(one) or literal(one)

    def _group(self) -> Node:
        looking = False
        if self._take("?"):
            looking = any(self._take(mark) for mark in ("=", "!", "<=", "<!"))
            if not looking and not self._take(":") and not self._name():
                raise Unreadable(f"an unknown kind of group at {self._at}")
        self._depth += 1
        if self._depth > _DEEP:
            raise Unreadable(f"groups are nested deeper than {_DEEP}")
        node = self._alternatives()
        self._depth -= 1
        if not self._take(")"):
            raise Unreadable("a group isn't closed")
        if looking:
            self.exact = False
            return EMPTY
        return node

    def _name(self) -> bool:
        if not (self._take("<") or self._take("P<")):
            return False
        while (one := self._next()) != ">":
            if not (one.isalnum() or one in "_$"):
                return False
        return True

    def _escape(self) -> Node:
        one = self._next()
        if one in "bB":
            self.exact = False
            return EMPTY
        if one == "k" or one in "123456789":  # what the group said isn't known here
            self.exact = False
            while one != "k" and self._text[self._at : self._at + 1].isdigit():
                self._at += 1
            if one == "k" and not self._name():
                raise Unreadable("a reference without a name")
            return ANYTHING
        return characters_in(self._escaped(one, inverted=False))

    def _escaped(self, one: str, *, inverted: bool) -> charsets.Ranges:
        """The set that the escape means; `inverted` when it will be taken away."""
        if one in _CLASSES:
            if inverted and one in "sS":
                return _SPACES if one == "s" else charsets.without(charsets.ALL, _SPACE)
            return _CLASSES[one]
        if one in "pP":
            raise Unreadable(f"\\{one}{{…}} isn't supported")
        if one in "xu":
            return self._code(one)
        if one == "c":
            return charsets.of(chr(ord(self._next()) % 32))
        if one in _CONTROLS:
            return charsets.of(_CONTROLS[one])
        if one.isalnum():
            raise Unreadable(f"unknown escape \\{one}")
        return charsets.of(one)

    def _code(self, kind: str) -> charsets.Ranges:
        digits = "".join(self._next() for _ in range(2 if kind == "x" else 4))
        try:
            code = int(digits, 16)
        except ValueError as error:
            raise Unreadable(f"\\{kind}{digits} isn't a character") from error
        if 0xD800 <= code <= 0xDFFF:
            raise Unreadable("surrogates aren't supported; write the character itself")
        return charsets.of((code, code))

    def _set(self) -> charsets.Ranges:
        inverted = self._take("^")
        found: list[tuple[int, int]] = []
        while not self._take("]"):
            first = self._member(inverted)
            if self._text[self._at : self._at + 1] != "-" or self._text[self._at : self._at + 2] == "-]":
                found += first
                continue
            self._at += 1
            last = self._member(inverted)
            if not (_single(first) and _single(last)):  # a class beside it: the dash means itself
                found += [*first, (0x2D, 0x2D), *last]
            elif first[0][0] > last[0][0]:
                raise Unreadable("a range is out of order")
            else:
                found.append((first[0][0], last[0][0]))
        ranges = charsets.both(charsets.union(found), charsets.ALL)
        return charsets.without(charsets.ALL, ranges) if inverted else ranges

    def _member(self, inverted: bool) -> charsets.Ranges:
        one = self._next()
        if one != "\\":
            return charsets.of(one)
        one = self._next()
        return charsets.of("\b") if one == "b" else self._escaped(one, inverted=inverted)

    def _quantified(self, node: Node) -> Node:
        while True:
            bounds = self._quantifier()
            if bounds is None:
                return node
            self._take("?")  # a lazy one finds the same strings
            node = _repeated(node, *bounds)
            if self._text[self._at : self._at + 1] in ("*", "+"):
                raise Unreadable(f"nothing to repeat at {self._at}")

    def _quantifier(self) -> tuple[int, int | None] | None:
        for mark, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(mark):
                return bounds
        end = self._text.find("}", self._at)
        if not self._text.startswith("{", self._at) or end < 0:
            return None
        least, comma, most = self._text[self._at + 1 : end].partition(",")
        if not (least.isascii() and least.isdigit() and (not most or (most.isascii() and most.isdigit()))):
            return None
        self._at = end + 1
        return int(least[:9]), (int(most[:9]) if most else None if comma else int(least[:9]))


def _single(ranges: charsets.Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


def _repeated(node: Node, least: int, most: int | None) -> Node:
    if max(least, most or 0) > MAX_REPEATS:
        raise Unreadable(f"it repeats more than {MAX_REPEATS} times")
    if most is not None and most < least:
        raise Unreadable("a repetition is out of order")
    if isinstance(node, Reference) and most != 1:
        raise Unreadable("a repeated anchor isn't supported")
    return repeat(node, least, most)
