"""Schemas made at random, values that satisfy them, and texts drawn from grammars."""

import random
import string
from typing import Any

from tasks.shapes import charsets
from tasks.shapes.grammar import (
    Characters,
    Choice,
    Grammar,
    Literal,
    Node,
    Reference,
    Repeat,
    Sequence,
    children,
)

Pair = tuple[Any, Any]  # a schema, and a value that satisfies it

_WORDS = ["a", "ab", "name", "tag", "é", 'quo"te', "back\\slash", "new\nline", "日本", "x y", "/", "\x01", "😀"]
_PATTERNED = [
    ("^[a-z]{2,5}$", "abc"),
    ("^[A-Z]{3}-\\d+$", "ABC-12"),
    ("b+", "abba"),
    ("^(foo|bar)*$", "foobarfoo"),
    ('^["\\\\]+$', '"\\'),
    ("^\\S+@\\S+$", "a@b"),
    ("^.{1,3}$", "é/"),
    ("a|^b$", "b"),
]
_FORMATTED = [
    ("date", "2024-02-29"),
    ("time", "10:11:12Z"),
    ("date-time", "2024-12-31T23:59:59.5+01:00"),
    ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
    ("email", "some.one@example.org"),
    ("ipv4", "192.168.0.1"),
    ("ipv6", "::1"),
    ("uri", "https://example.org/a?b=c"),
    ("duration", "P1DT2H"),
    ("hostname", "a.example.org"),
]


class Schemas:
    """The same seed makes the same schemas."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pair(self, depth: int = 3) -> Pair:
        """A schema and a value of it."""
        kinds = [self._string, self._integer, self._number, self._enum, self._constant, self._plain]
        if depth > 0:
            kinds = [
                *kinds,
                self._object,
                self._object,
                self._map,
                self._array,
                self._tuple,
                self._any_of,
                self._all_of,
            ]
        make = self._random.choice(kinds)
        return make(depth)

    def _string(self, depth: int) -> Pair:
        kind = self._random.randrange(4)
        if kind == 0:
            pattern, value = self._random.choice(_PATTERNED)
            return {"type": "string", "pattern": pattern}, value
        if kind == 1:
            name, value = self._random.choice(_FORMATTED)
            return {"type": "string", "format": name}, value
        value = "".join(self._random.choices(_WORDS, k=self._random.randrange(3)))
        schema: dict[str, Any] = {"type": "string"}
        if self._random.random() < 0.5:
            schema["minLength"] = self._random.randint(0, len(value))
        if self._random.random() < 0.5:
            schema["maxLength"] = len(value) + self._random.randrange(700)
        return schema, value

    def _bounds(self, value: float) -> dict[str, Any]:
        schema: dict[str, Any] = {}
        if self._random.random() < 0.6:
            schema["minimum"] = int(value // 1) - self._random.choice([0, 1, 9, 1234])
        elif self._random.random() < 0.5:
            schema["exclusiveMinimum"] = int(value // 1) - 1
        if self._random.random() < 0.6:
            schema["maximum"] = int(value // 1) + self._random.choice([1, 2, 10, 99_999])
        elif self._random.random() < 0.5:
            schema["exclusiveMaximum"] = int(value // 1) + 1
        return schema

    def _integer(self, depth: int) -> Pair:
        value = self._random.choice([0, 1, -1, 7, 10, 99, 100, -12345, 123456789, self._random.randint(-2000, 2000)])
        return {"type": "integer", **self._bounds(value)}, value

    def _number(self, depth: int) -> Pair:
        value = self._random.choice([0, 3, 0.5, -0.25, 12.75, -100.125, round(self._random.uniform(-50, 50), 4)])
        return {"type": "number", **self._bounds(value)}, value

    def _enum(self, depth: int) -> Pair:
        values: list[Any] = [*self._random.sample(_WORDS, 3), 1, None, {"a": [1, "b"]}, "a" * 30]
        return {"enum": values}, self._random.choice(values)

    def _constant(self, depth: int) -> Pair:
        value = self._random.choice(["yes", 5, None, True, [], {"x": {}}])
        return {"const": value}, value

    def _plain(self, depth: int) -> Pair:
        return self._random.choice(
            [
                ({"type": "boolean"}, False),
                ({"type": "null"}, None),
                ({"type": ["string", "null"]}, None),
                ({"type": ["integer", "string"]}, "w"),
                ({}, {"any": [1, 2.5, {"x": None}]}),
                ({"type": "string", "nullable": True}, None),
            ]
        )

    def _object(self, depth: int) -> Pair:
        schema: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
        value: dict[str, Any] = {}
        for name in self._random.sample(_WORDS, self._random.randrange(5)):
            inner, one = self.pair(depth - 1)
            schema["properties"][name] = inner
            wanted = self._random.random() < 0.5
            if wanted:
                schema["required"].append(name)
            if wanted or self._random.random() < 0.5:
                value[name] = one
        kind = self._random.randrange(4)
        if kind == 0:
            schema["additionalProperties"] = False
        elif kind == 1:
            inner, one = self.pair(0)
            schema["additionalProperties"] = inner
            value["another"] = one
        return schema, value

    def _map(self, depth: int) -> Pair:
        inner, one = self.pair(depth - 1)
        key = self._random.choice([{}, {"propertyNames": {"pattern": "^k[0-9]+$"}}])
        return {"type": "object", "additionalProperties": inner, **key, "maxProperties": 3}, {"k1": one}

    def _array(self, depth: int) -> Pair:
        inner, one = self.pair(depth - 1)
        count = self._random.randrange(4)
        schema = {"type": "array", "items": inner}
        if self._random.random() < 0.5:
            schema["minItems"] = self._random.randint(0, count)
        if self._random.random() < 0.5:
            schema["maxItems"] = count + self._random.randrange(400)
        return schema, [one] * count

    def _tuple(self, depth: int) -> Pair:
        pairs = [self.pair(depth - 1) for _ in range(self._random.randint(1, 3))]
        schema: dict[str, Any] = {"type": "array", "prefixItems": [schema for schema, _ in pairs]}
        if self._random.random() < 0.5:
            schema |= {"minItems": len(pairs), "maxItems": len(pairs)}
        return schema, [value for _, value in pairs]

    def _any_of(self, depth: int) -> Pair:
        pairs = [self.pair(depth - 1) for _ in range(self._random.randint(1, 3))]
        return {"anyOf": [schema for schema, _ in pairs]}, self._random.choice(pairs)[1]

    def _all_of(self, depth: int) -> Pair:
        (one, here), (other, there) = self._object(depth - 1), self._object(depth - 1)
        names = dict(zip(["p", "q", "r", "s", "t"], one["properties"], strict=False))
        for schema in (one, other):
            schema.pop("additionalProperties", None)
        one = {
            "type": "object",
            "properties": {name: one["properties"][old] for name, old in names.items()},
            "required": [name for name, old in names.items() if old in one["required"]],
        }
        value = {name: here[old] for name, old in names.items() if old in here}
        there.pop("another", None)
        merged = {**value, **there}
        return {"allOf": [one, other]}, merged


def draw(grammar: Grammar, seed: int, effort: int = 60) -> str:
    """A text of the grammar; after `effort` choices the shortest way to its end is taken."""
    return _Drawing(grammar, seed, effort).text()


class _Drawing:
    def __init__(self, grammar: Grammar, seed: int, effort: int) -> None:
        self._grammar, self._random, self._left = grammar, random.Random(seed), effort
        self._cost = _costs(grammar)

    def text(self) -> str:
        said: list[str] = []
        waiting: list[Node] = [self._grammar.root]
        while waiting:
            node = waiting.pop()
            match node:
                case Literal(text):
                    said.append(text)
                case Characters(ranges):
                    said.append(self._character(ranges))
                case Sequence(parts):
                    waiting += reversed(parts)
                case Choice(arms):
                    waiting.append(self._arm(arms))
                case Repeat(inner, least, most):
                    waiting += [inner] * self._times(least, most)
                case Reference(rule):
                    waiting.append(self._grammar.rules[rule])
        return "".join(said)

    def _arm(self, arms: tuple[Node, ...]) -> Node:
        self._left -= 1
        if self._left > 0:
            return self._random.choice(arms)
        return min(arms, key=lambda arm: cost(arm, self._cost))

    def _times(self, least: int, most: int | None) -> int:
        self._left -= 1
        if self._left <= 0:
            return least
        if self._random.random() < 0.1 and most is not None:
            return min(most, least + 2_000)
        return min(least + self._random.randrange(4), most if most is not None else least + 3)

    def _character(self, ranges: charsets.Ranges) -> str:
        if self._random.random() < 0.7:
            usual = charsets.both(ranges, charsets.of(string.printable))
            ranges = usual or ranges
        return chr(self._random.randint(*self._random.choice(ranges)))


def _costs(grammar: Grammar) -> dict[str, int]:
    """How many references the shortest text of each rule needs at least."""
    costs = dict.fromkeys(grammar.rules, 1_000_000)
    changed = True
    while changed:
        changed = False
        for name, node in grammar.rules.items():
            found = 1 + cost(node, costs)
            if found < costs[name]:
                costs[name], changed = found, True
    return costs


def cost(node: Node, costs: dict[str, int]) -> int:
    if isinstance(node, Reference):
        return costs[node.rule]
    if isinstance(node, Choice):
        return min(cost(arm, costs) for arm in node.arms)
    if isinstance(node, Repeat):
        return node.least * cost(node.node, costs)
    return sum(cost(inner, costs) for inner in children(node))
