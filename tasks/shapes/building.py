"""What is common to all parts of one schema while it is compiled: its rules, what is still to do, and the budget."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import orjson

from tasks import errors
from tasks.shapes import json_text
from tasks.shapes.grammar import Grammar, Node, Reference

Schema = dict[str, Any]

MAX_PARTS = 20_000
MAX_DEPTH = 64
MAX_VALUES = 10_000
MAX_VALUE_BYTES = 256 << 10

# What says something about values; all else is for people, or unknown, and ignored.
_ASSERTIONS = """
    $ref $dynamicRef $recursiveRef allOf anyOf oneOf not if then else dependentRequired dependentSchemas dependencies
    type nullable enum const properties required additionalProperties patternProperties propertyNames minProperties
    maxProperties unevaluatedProperties items prefixItems additionalItems minItems maxItems uniqueItems contains
    minContains maxContains unevaluatedItems minLength maxLength pattern format minimum maximum exclusiveMinimum
    exclusiveMaximum multipleOf
"""
ASSERTIONS = frozenset(_ASSERTIONS.split())


class Inner(Protocol):
    """Compiles a schema that stands inside of another."""

    def __call__(self, schema: Any, path: str) -> Node: ...


class Building:
    """The rules made so far. What is left to compile is kept as well, so that recursion ends and needs no stack."""

    def __init__(self, path: str) -> None:
        self.path, self.exact = path, True
        self.rules: dict[str, Node] = dict(json_text.RULES)
        self.waiting: list[tuple[str, Callable[[], Node]]] = []
        self._known: dict[str, str] = {}
        self._by_node: dict[Node, str] = {}
        self._names = self._parts = self._values = self._value_bytes = 0

    def later(self, key: str, make: Callable[[], Node]) -> Reference:
        """A reference to the rule for that key; it will be made once, whoever asks."""
        name = self._known.get(key)
        if name is None:
            name = self._known[key] = self.name()
            self.waiting.append((name, make))
        return Reference(name)

    def rule(self, node: Node) -> Reference:
        """A rule for the node; the same one for equal nodes."""
        name = self._by_node.get(node)
        if name is None:
            name = self._by_node[node] = self.name()
            self.rules[name] = node
        return Reference(name)

    def include(self, key: str, make: Callable[[], Grammar]) -> Node:
        """The root of a grammar whose rules are taken in; made once for a key. Its rules' names must be its own."""
        name = self._known.get(key)
        if name is None:
            made = make()
            self.rules.update(made.rules)
            name = self._known[key] = self.name()
            self.rules[name] = made.root
        return Reference(name)

    def name(self) -> str:
        """A name that no rule has."""
        self._names += 1
        return f"s{self._names - 1}"

    def spend(self, path: str, parts: int = 1) -> None:
        """Counts parts of the schema. Raises `SchemaRefused` when there are too many of them."""
        self._parts += parts
        if self._parts > MAX_PARTS:
            raise errors.SchemaRefused(path, f"the schema comes to more than {MAX_PARTS} parts")

    def spend_values(self, path: str, values: Iterable[Any]) -> None:
        """Counts values that are given. Raises `SchemaRefused` when there are too many, or they are too long."""
        for value in values:
            self._values += 1
            self._value_bytes += len(orjson.dumps(value))
            if self._values > MAX_VALUES or self._value_bytes > MAX_VALUE_BYTES:
                limit = f"{MAX_VALUES} values or {MAX_VALUE_BYTES >> 10} KiB of them"
                raise errors.SchemaRefused(path, f"the schema has more than {limit}")


def canonical(schema: Any) -> str:
    """The same text for equal schemas."""
    return orjson.dumps(schema, option=orjson.OPT_SORT_KEYS).decode()


def asserting(schema: Schema) -> Schema:
    """The schema without what says nothing about values."""
    return {key: value for key, value in schema.items() if key in ASSERTIONS}


def number(schema: Schema, key: str, path: str) -> float | None:
    """The number there, if any. Raises `SchemaRefused` for another value."""
    value = schema.get(key)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise errors.SchemaRefused(f"{path}.{key}", "must be a number")


def count(schema: Schema, key: str, path: str) -> int | None:
    """The natural number there, if any. Raises `SchemaRefused` for another value."""
    value = number(schema, key, path)
    if value is None:
        return None
    if value < 0 or value != int(value):
        raise errors.SchemaRefused(f"{path}.{key}", "must be an integer of 0 or more")
    return int(value)


def table(schema: Schema, key: str, path: str) -> dict[str, Any]:
    """The object there; an empty one when it is missing. Raises `SchemaRefused` for another value."""
    value = schema.get(key, {})
    if isinstance(value, dict):
        return value
    raise errors.SchemaRefused(f"{path}.{key}", "must be an object")


def listed(schema: Schema, key: str, path: str) -> list[Any]:
    """The array there; an empty one when it is missing. Raises `SchemaRefused` for another value."""
    value = schema.get(key, [])
    if isinstance(value, list):
        return value
    raise errors.SchemaRefused(f"{path}.{key}", "must be an array")
