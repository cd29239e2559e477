"""Grammars: which texts are allowed. A text is allowed when the root, with its references followed, spells it.

No rule may begin with itself, directly or through others, and rules aren't changed once they are in a grammar. The
functions that make nodes simplify what they are given: `sequence()` is the empty text, `choice()` allows no text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.shapes import charsets


@dataclass(frozen=True, slots=True)
class Literal:
    """This text and no other."""

    text: str


@dataclass(frozen=True, slots=True)
class Characters:
    """One character out of the ranges."""

    ranges: charsets.Ranges


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any one of them."""

    arms: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The node again and again, `least` to `most` times; None is without an end."""

    node: "Node"
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Reference:
    """What the rule of that name allows."""

    rule: str


Node = Literal | Characters | Sequence | Choice | Repeat | Reference

EMPTY = Literal("")
NEVER = Choice(())


@dataclass(frozen=True, slots=True)
class Grammar:
    """The rules by name, and where a text begins. A name is of `a` to `z`, `0` to `9` and `-`."""

    root: Node
    rules: Mapping[str, Node] = field(default_factory=dict)

    def to_json(self) -> Any:
        """Plain lists and texts, for `from_json`."""
        return {"root": _encode(self.root), "rules": {name: _encode(node) for name, node in self.rules.items()}}

    @staticmethod
    def from_json(told: Any) -> "Grammar":
        """The grammar of which `to_json` made this."""
        return Grammar(_decode(told["root"]), {name: _decode(node) for name, node in told["rules"].items()})


def literal(text: str) -> Literal:
    """The text itself."""
    return Literal(text) if text else EMPTY


def characters(*parts: str | tuple[int, int]) -> Node:
    """One of the characters of these strings and ranges of code points."""
    return characters_in(charsets.of(*parts))


def other_than(*parts: str | tuple[int, int]) -> Node:
    """One character that is in none of them."""
    return characters_in(charsets.without(charsets.ALL, charsets.of(*parts)))


def characters_in(ranges: charsets.Ranges) -> Node:
    """One character of the set; nothing is allowed when it is empty."""
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return Literal(chr(ranges[0][0]))
    return Characters(ranges) if ranges else NEVER


def sequence(*nodes: Node) -> Node:
    """One after the other: inner sequences are opened, neighbouring texts joined."""
    parts: list[Node] = []
    for node in nodes:
        for part in node.parts if isinstance(node, Sequence) else (node,):
            if part == NEVER:
                return NEVER
            if isinstance(part, Literal) and parts and isinstance(parts[-1], Literal):
                parts[-1] = Literal(parts[-1].text + part.text)
            elif part is not EMPTY:
                parts.append(part)
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts)) if parts else EMPTY


def choice(*nodes: Node) -> Node:
    """Any of them: inner choices are opened, what stands there twice once."""
    arms: dict[Node, None] = {}
    for node in nodes:
        arms.update(dict.fromkeys(node.arms if isinstance(node, Choice) else (node,)))
    return next(iter(arms)) if len(arms) == 1 else Choice(tuple(arms))


def repeat(node: Node, least: int = 0, most: int | None = None) -> Node:
    """The node `least` to `most` times. What can be empty had better not be repeated: `unambiguous` sees to it."""
    if most is not None and most < least:
        return NEVER
    if most == 0 or node == EMPTY or (node == NEVER and least == 0):
        return EMPTY
    if node == NEVER:
        return NEVER
    return node if (least, most) == (1, 1) else Repeat(node, least, most)


def optional(node: Node) -> Node:
    """The node or nothing."""
    return repeat(node, 0, 1)


def joined(*parts: Grammar | Node | str) -> Grammar:
    """The grammar of one after the other; rules of the same name that differ are told apart."""
    rules: dict[str, Node] = {}
    return Grammar(sequence(*(_adopted(part, rules) for part in parts)), rules)


def either(*parts: Grammar | Node | str) -> Grammar:
    """The grammar of any one of them; rules of the same name that differ are told apart."""
    rules: dict[str, Node] = {}
    return Grammar(choice(*(_adopted(part, rules) for part in parts)), rules)


def repeated(part: Grammar | Node | str, least: int = 0, most: int | None = None, between: str = "") -> Grammar:
    """The grammar of the part `least` to `most` times with that text between each two."""
    rules: dict[str, Node] = {}
    node = _adopted(part, rules)
    if not between or most == 0:
        return Grammar(repeat(node, least, most), rules)
    rest = repeat(sequence(literal(between), node), max(0, least - 1), None if most is None else most - 1)
    some = sequence(node, rest)
    return Grammar(some if least else optional(some), rules)


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right inside of it."""
    if isinstance(node, Sequence):
        return node.parts
    if isinstance(node, Choice):
        return node.arms
    return (node.node,) if isinstance(node, Repeat) else ()


def walk(node: Node) -> Iterator[Node]:
    """The node and all inside of it; references aren't followed."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += children(node)


def _adopted(part: Grammar | Node | str, rules: dict[str, Node]) -> Node:
    """The part's root; its rules are put to the others, under new names where a name means something else there."""
    if isinstance(part, str):
        return literal(part)
    if not isinstance(part, Grammar):
        return part
    names = {name: _unused(name, rules, part.rules) for name in _other(part.rules, rules)}
    rules.update({names.get(name, name): renamed(node, names) for name, node in part.rules.items()})
    return renamed(part.root, names)


def _other(ours: Mapping[str, Node], theirs: Mapping[str, Node]) -> list[str]:
    """Our rules whose names mean something else there, or that refer to such a rule."""
    found = {name for name, node in ours.items() if theirs.get(name, node) != node}
    used = {name: {one.rule for one in walk(node) if isinstance(one, Reference)} for name, node in ours.items()}
    more = found
    while more:
        more = {name for name, those in used.items() if name not in found and not those.isdisjoint(found)}
        found |= more
    return [name for name in ours if name in found]


def _unused(name: str, *taken: Mapping[str, Node]) -> str:
    number = 2
    while any(f"{name}-{number}" in rules for rules in taken):
        number += 1
    return f"{name}-{number}"


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """The node with its references' names changed; one that isn't in the table stays."""
    if not names:
        return node
    match node:
        case Sequence(parts):
            return Sequence(tuple(renamed(part, names) for part in parts))
        case Choice(arms):
            return Choice(tuple(renamed(arm, names) for arm in arms))
        case Repeat(inner, least, most):
            return Repeat(renamed(inner, names), least, most)
        case Reference(rule):
            return Reference(names.get(rule, rule))
    return node


def _encode(node: Node) -> Any:
    match node:
        case Literal(text):
            return text
        case Characters(ranges):
            return ["c", *(code for pair in ranges for code in pair)]
        case Sequence(parts):
            return ["s", *map(_encode, parts)]
        case Choice(arms):
            return ["o", *map(_encode, arms)]
        case Repeat(inner, least, most):
            return ["r", _encode(inner), least, most]
        case Reference(rule):
            return ["n", rule]


def _decode(told: Any) -> Node:
    if isinstance(told, str):
        return literal(told)
    kind, *rest = told
    if kind == "c":
        return Characters(tuple(zip(rest[::2], rest[1::2], strict=True)))
    if kind == "s":
        return Sequence(tuple(map(_decode, rest)))
    if kind == "o":
        return Choice(tuple(map(_decode, rest)))
    return Repeat(_decode(rest[0]), rest[1], rest[2]) if kind == "r" else Reference(rest[0])
