"""Schemas of keywords thrown together: what hardly anybody writes, and yet means something."""

import random
from typing import Any

_NAMES = ["a", "b", "ab", "é"]
_PLAIN: list[Any] = [
    {"type": "string"}, {"type": "integer"}, {"const": 1}, {"enum": ["a", "b", None]}, True, {"type": "null"},
    {"type": "boolean"}, {},
]  # fmt: skip
_TYPES = [
    "object", "array", "string", "integer", "number", ["string", "null"], ["object", "array"],
    ["integer", "string", "object"],
]  # fmt: skip
_VALUES = [1, 2, "a", "ab", None, True, {"a": 1}, [1], 1.5]

# A keyword, how often it comes up, and what it may be where that needs no other schema.
_SIMPLE: list[tuple[str, float, list[Any]]] = [
    ("type", 0.6, _TYPES),
    ("minProperties", 0.07, [0, 1, 2]),
    ("maxProperties", 0.07, [0, 1, 2, 3]),
    ("minItems", 0.1, [0, 1, 2, 3]),
    ("maxItems", 0.1, [0, 1, 2, 4]),
    ("uniqueItems", 0.05, [True]),
    ("minLength", 0.15, [0, 1, 3]),
    ("maxLength", 0.15, [0, 2, 6]),
    ("pattern", 0.15, ["^a", "b", "^[a-c]{1,4}$", "^(x|yz)+$", 'é|"', "^a.*b$"]),
    ("format", 0.1, ["date", "uuid", "ipv4", "email", "unheard-of"]),
    ("minimum", 0.15, [-5, 0, 3, 2.5, -0.5]),
    ("maximum", 0.15, [-1, 5, 100, 7.5, 0]),
    ("exclusiveMinimum", 0.08, [-5, 0, 3, 2.5]),
    ("exclusiveMaximum", 0.08, [5, 100, 7.5]),
    ("multipleOf", 0.03, [2]),
    ("const", 0.05, [1, "a", None]),
    ("$ref", 0.15, ["#/$defs/x", "#/$defs/y"]),
    ("nullable", 0.04, [True]),
    ("propertyNames", 0.07, [{"pattern": "^[ab]+$"}, {"maxLength": 2}, {"enum": ["a", "z"]}]),
    ("dependentRequired", 0.04, [{"a": ["b"]}]),
    ("unevaluatedProperties", 0.04, [False]),
]
_INNER = [("additionalProperties", 0.15), ("items", 0.2), ("contains", 0.03), ("if", 0.04), ("then", 0.2)]
_LISTED = [("prefixItems", 0.1), ("anyOf", 0.15), ("oneOf", 0.1), ("allOf", 0.15)]


class Wild:
    """The same seed makes the same schema."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def schema(self) -> dict[str, Any]:
        return {**self._schema(3), "$defs": {"x": self._inner(2), "y": self._inner(2)}}

    def _inner(self, depth: int) -> Any:
        return self._schema(depth) if depth > 0 else self._random.choice(_PLAIN)

    def _schema(self, depth: int) -> dict[str, Any]:
        made = {key: self._random.choice(values) for key, share, values in _SIMPLE if self._comes(share)}
        made |= {key: self._inner(depth - 1) for key, share in _INNER if self._comes(share)}
        made |= {key: self._list(depth) for key, share in _LISTED if self._comes(share)}
        if self._comes(0.35):
            names = self._random.sample(_NAMES, self._random.randint(0, 3))
            made["properties"] = {name: self._inner(depth - 1) for name in names}
        if self._comes(0.07):
            made["patternProperties"] = {self._random.choice(["^a", "b$", "."]): self._inner(depth - 1)}
        if self._comes(0.2):
            made["required"] = self._random.sample(_NAMES, self._random.randint(0, 2))
        if self._comes(0.1):
            made["enum"] = self._random.sample(_VALUES, 3)
        return made

    def _list(self, depth: int) -> list[Any]:
        return [self._inner(depth - 1) for _ in range(self._random.randint(1, 3))]

    def _comes(self, share: float) -> bool:
        return self._random.random() < share
