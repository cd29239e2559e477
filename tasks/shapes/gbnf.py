"""Grammars in llama.cpp's notation, GBNF.

Its parser refuses a repetition whose number times the rules inside of it reaches 2,000, and makes a rule of every
optional repetition. So what is repeated is a rule of its own, and a long repetition is made of blocks: some 2·√n rules
instead of n, between which the sampler needs to decide no more than whether a block will be full.
"""

import math

from tasks.shapes import charsets
from tasks.shapes.grammar import (
    NEVER,
    Characters,
    Choice,
    Grammar,
    Literal,
    Node,
    Reference,
    Repeat,
    Sequence,
)

_AT_ONCE = 256
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_IN_SET = {**_NAMED, "[": "\\[", "]": "\\]", "^": "\\x5E", "-": "\\x2D"}


def gbnf(grammar: Grammar) -> str:
    """The grammar as llama.cpp reads it, its root named `root`. Raises `ValueError` when it allows no text."""
    return _Printer(grammar).text()


class _Printer:
    def __init__(self, grammar: Grammar) -> None:
        if grammar.root == NEVER:
            raise ValueError("the grammar allows no text")
        self._grammar = grammar
        self._names = {"root" if name == "root" else name: name for name in grammar.rules}
        self._lines: list[str] = []
        self._made: dict[str, str] = {}
        self._taken = {*grammar.rules, "root"}

    def text(self) -> str:
        root = self._spelled(self._grammar.root)
        rules = [f"{self._name(name)} ::= {self._spelled(node)}" for name, node in self._grammar.rules.items()]
        return "\n".join([f"root ::= {root}", *rules, *self._lines, ""])

    def _name(self, rule: str) -> str:
        """A rule that is called as the root must be is given another name."""
        return rule if rule != "root" else "x-root"

    def _spelled(self, node: Node) -> str:
        """The node at the right side of a rule."""
        if isinstance(node, Choice):
            return " | ".join(self._in_sequence(arm) for arm in node.arms)
        return self._in_sequence(node)

    def _in_sequence(self, node: Node) -> str:
        match node:
            case Literal(text):
                return _quoted(text)
            case Characters(ranges):
                return _set(ranges)
            case Sequence(parts):
                return " ".join(self._in_sequence(part) for part in parts)
            case Choice():
                return self._rule(self._spelled(node))
            case Reference(rule):
                return self._name(rule)
            case Repeat(inner, least, most):
                return self._repeated(self._atom(inner), least, most)
        raise TypeError(node)

    def _atom(self, node: Node) -> str:
        """The node as one symbol, which can be repeated."""
        single = isinstance(node, Characters | Reference) or (isinstance(node, Literal) and len(node.text) == 1)
        return self._in_sequence(node) if single else self._rule(self._spelled(node))

    def _repeated(self, atom: str, least: int, most: int | None) -> str:
        if (least, most) == (0, 1):
            return f"{atom}?"
        if most is None:
            return f"{self._times(atom, least)} {atom}*".strip()
        return f"{self._times(atom, least)} {self._up_to(atom, most - least)}".strip()

    def _times(self, atom: str, count: int) -> str:
        if count <= _AT_ONCE:
            return f"{atom}{{{count}}}" if count > 1 else atom * count
        size = math.isqrt(count)
        block = self._rule(self._times(atom, size))
        return f"{self._times(block, count // size)} {self._times(atom, count % size)}".strip()

    def _up_to(self, atom: str, most: int) -> str:
        """At most so many: `o0` after the last block may be shorter, `on` is a block and `o(n-1)`, or part of one."""
        if most <= _AT_ONCE:
            return f"{atom}{{0,{most}}}" if most else ""
        size = math.isqrt(most)
        block, part = self._rule(self._times(atom, size)), self._rule(self._up_to(atom, size - 1))
        tail = self._rule(self._up_to(atom, most % size) or '""')
        for _ in range(most // size):
            tail = self._rule(f"{block} {tail} | {part}")
        return tail

    def _rule(self, right: str) -> str:
        """The name of a rule with that right side; the same for the same."""
        if right not in self._made:
            name = f"x{len(self._made)}"
            while name in self._taken:
                name = f"x{name}"
            self._made[right] = name
            self._taken.add(name)
            self._lines.append(f"{name} ::= {right}")
        return self._made[right]


def _quoted(text: str) -> str:
    return '"' + "".join(_NAMED.get(one) or _written(one) for one in text) + '"'


def _set(ranges: charsets.Ranges) -> str:
    """`[…]`, never `[^…]`: that would allow codes beyond Unicode's, of which a vocabulary of bytes can make texts."""
    return f"[{_ranges(ranges)}]"


def _ranges(ranges: charsets.Ranges) -> str:
    return "".join(_member(first) if first == last else f"{_member(first)}-{_member(last)}" for first, last in ranges)


def _member(code: int) -> str:
    return _IN_SET.get(chr(code)) or _written(chr(code))


def _written(one: str) -> str:
    """A character that needs no care stays; all else by its code."""
    code = ord(one)
    if 0x20 <= code < 0x7F:
        return one
    return f"\\x{code:02X}" if code <= 0xFF else f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
