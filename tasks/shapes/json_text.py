"""JSON as grammars: any of it, given values, and the marks between. No space but one after `:` and `,`, if any.

A space or a line's end wherever JSON allows it would let a model write nothing else until its tokens are used up.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from tasks.shapes import charsets, regular
from tasks.shapes.grammar import (
    EMPTY,
    Grammar,
    Literal,
    Node,
    Reference,
    characters,
    characters_in,
    choice,
    literal,
    optional,
    other_than,
    repeat,
    sequence,
)

COMMA = sequence(literal(","), optional(literal(" ")))
COLON = sequence(literal(":"), optional(literal(" ")))
QUOTE = literal('"')

_BRANCHES = 40  # within each other; texts that need more aren't taken apart further

_DIGIT = characters((0x30, 0x39))
_HEX = characters((0x30, 0x39), (0x41, 0x46), (0x61, 0x66))
_HEX_NOT_0 = characters((0x31, 0x39), (0x41, 0x46), (0x61, 0x66))


def _unicode() -> Node:
    """`\\uXXXX` without NUL, which PostgreSQL has no place for, and with surrogates in pairs only."""
    zero, d = literal("0"), characters("Dd")
    low = sequence(
        zero,
        choice(
            sequence(zero, choice(sequence(zero, _HEX_NOT_0), sequence(_HEX_NOT_0, _HEX))),
            sequence(_HEX_NOT_0, _HEX, _HEX),
        ),
    )
    usual = sequence(characters((0x31, 0x39), "ABCEFabcef"), _HEX, _HEX, _HEX)
    below = sequence(d, characters((0x30, 0x37)), _HEX, _HEX)
    pair = sequence(
        d, characters("89ABab"), _HEX, _HEX, literal("\\u"), d, characters((0x43, 0x46), (0x63, 0x66)), _HEX, _HEX
    )
    return sequence(literal("u"), choice(low, usual, below, pair))


CHARACTER = Reference("char")
NUMBER = Reference("number")
STRING = Reference("string")
VALUE = Reference("value")
OBJECT = Reference("object")
ARRAY = Reference("array")
BOOLEAN = choice(literal("true"), literal("false"))
NULL = literal("null")

# At most 18 digits, which every program's integers hold, and no exponent that leads to infinity.
INTEGER = sequence(
    optional(literal("-")), choice(literal("0"), sequence(characters((0x31, 0x39)), repeat(_DIGIT, 0, 17)))
)
FRACTION = sequence(literal("."), repeat(_DIGIT, 1, 24))
_EXPONENT = sequence(
    characters("Ee"),
    optional(characters("+-")),
    choice(
        repeat(_DIGIT, 1, 2),
        sequence(literal("1"), _DIGIT, _DIGIT),
        sequence(literal("2"), characters((0x30, 0x38)), _DIGIT),
    ),
)

RULES: Mapping[str, Node] = {
    "char": choice(other_than((0, 0x1F), '"\\'), sequence(literal("\\"), choice(characters('"\\/bfnrt'), _unicode()))),
    "string": sequence(QUOTE, repeat(CHARACTER), QUOTE),
    "number": sequence(INTEGER, optional(FRACTION), optional(_EXPONENT)),
    "member": sequence(STRING, COLON, VALUE),
    "object": sequence(
        literal("{"),
        optional(sequence(Reference("member"), repeat(sequence(COMMA, Reference("member"))))),
        literal("}"),
    ),
    "array": sequence(literal("["), optional(sequence(VALUE, repeat(sequence(COMMA, VALUE)))), literal("]")),
    "value": choice(OBJECT, ARRAY, STRING, NUMBER, BOOLEAN, NULL),
}


def any_object() -> Grammar:
    """Any JSON object: what OpenAI's `json_object` asks for."""
    return Grammar(OBJECT, RULES)


def any_value() -> Grammar:
    """Any JSON value."""
    return Grammar(VALUE, RULES)


def string(value: str) -> Literal:
    """This string: escaped only where it must be."""
    return Literal(orjson.dumps(value).decode())


def value(one: Any) -> Node:
    """This value; members in the order in which they stand."""
    if isinstance(one, dict):
        members = [sequence(string(name), COLON, value(inner)) for name, inner in one.items()]
        return sequence(literal("{"), *_between(members), literal("}"))
    if isinstance(one, list):
        return sequence(literal("["), *_between(map(value, one)), literal("]"))
    return literal(orjson.dumps(one).decode())


def _between(nodes: Iterable[Node]) -> list[Node]:
    found: list[Node] = []
    for node in nodes:
        found += [COMMA, node] if found else [node]
    return found


def one_of(texts: Iterable[str], then: Callable[[str], Node] = lambda _: EMPTY) -> Node:
    """Any of these texts, and `then` what follows that one.

    What they begin with in common is there once, so that each character leaves one way.
    """
    return _branch(sorted(set(texts)), 0, 0, then)


def _branch(texts: list[str], start: int, depth: int, then: Callable[[str], Node]) -> Node:
    """The texts, sorted, from that character on; all of them agree before it."""
    if len(texts) == 1 or depth == _BRANCHES:
        return choice(*(sequence(literal(text[start:]), then(text)) for text in texts))
    common = _common(texts[0], texts[-1], start)
    head = literal(texts[0][start:common])
    arms: list[Node] = []
    if len(texts[0]) == common:
        arms.append(then(texts[0]))
        texts = texts[1:]
    at = 0
    for end in range(1, len(texts) + 1):
        if end == len(texts) or texts[end][common] != texts[at][common]:
            arms.append(_branch(texts[at:end], common, depth + 1, then))
            at = end
    return sequence(head, choice(*arms))


def _common(first: str, last: str, start: int) -> int:
    """Up to which character both agree."""
    while start < min(len(first), len(last)) and first[start] == last[start]:
        start += 1
    return start


def key_other_than(names: Iterable[str], rule: str) -> Grammar:
    """Any string in quotes but these, spelled without needless escapes; the names of the rules begin with `rule`."""
    anything = Reference(f"{rule}-any")
    rules: dict[str, Node] = {anything.rule: repeat(regular.in_json(_ANY))}
    waiting = [(f"{rule}-0", sorted(set(names)), 0)]
    for here, those, start in waiting:  # the names, which agree before `start`, that what was said may become
        by_next: dict[str, list[str]] = {}
        for name in those:
            if len(name) > start:
                by_next.setdefault(name[start], []).append(name)
        others = characters_in(charsets.without(charsets.ALL, charsets.of("".join(by_next))))
        arms = [sequence(regular.in_json(others), anything)]
        for one, same in by_next.items():
            inner = f"{rule}-{len(waiting)}"
            waiting.append((inner, same, start + 1))
            arms.append(sequence(regular.in_json(literal(one)), Reference(inner)))
        ends = [] if those and len(those[0]) == start else [EMPTY]
        rules[here] = choice(*arms, *ends)
    return Grammar(sequence(QUOTE, Reference(f"{rule}-0"), QUOTE), rules)


_ANY = characters_in(charsets.ALL)
