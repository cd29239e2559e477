"""JSON Schemas as grammars: draft 2020-12, as OpenAI's structured output uses it and pydantic and LangChain write it.

What a grammar allows is compact JSON, or with one space after `:` and `,`. It allows less than the schema does:

* properties only in the order in which the schema names them, and no others, unless `additionalProperties` is true or
  a schema, as OpenAI's strict mode and llama.cpp have it; after `prefixItems` nothing, unless there is `items`;
* where no type is named, only those of which the other keywords speak;
* integers of 18 digits where they have no bound, numbers with bounds without exponents, `\\u0000` nowhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tasks import errors
from tasks.shapes import arrays, json_text, merging, numbers, objects, pruning, references, strings
from tasks.shapes.building import (
    MAX_DEPTH,
    Building,
    Schema,
    asserting,
    canonical,
    listed,
    number,
)
from tasks.shapes.grammar import NEVER, Grammar, Node, choice

MAX_NODES = 100_000
MAX_NESTED = 250

_BY_TYPE = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "propertyNames", "minProperties",
               "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}  # fmt: skip
_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_CHECKED = ("not", "if", "dependentRequired", "dependentSchemas", "dependencies", "multipleOf", "contains",
            "minContains", "maxContains", "unevaluatedItems")  # fmt: skip
_REFUSED = ("$dynamicRef", "$recursiveRef")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A grammar, and whether all it allows satisfies the schema; otherwise an answer still has to be checked."""

    grammar: Grammar
    exact: bool


def compile(schema: Any, path: str = "schema") -> Compiled:
    """The grammar of the JSON texts that satisfy the schema, which stands at `path` in the request.

    Raises `SchemaRefused` for what can't be honoured, isn't a schema, or would take too much.
    """
    try:
        return _Compiler(schema, path).compiled()
    except RecursionError as error:
        raise errors.SchemaRefused(path, "the schema is nested too deeply") from error


class _Compiler:
    def __init__(self, document: Any, path: str) -> None:
        self._document, self._path = document, path
        self._building = Building(path)
        self._depth = 0

    def compiled(self) -> Compiled:
        building = self._building
        references.refuse_circles(self._document, self._path)
        root = building.later(canonical(["$ref", "#"]), partial(self._node, self._document, self._path))
        while building.waiting:
            name, make = building.waiting.pop()
            building.rules[name] = make()
        grammar = Grammar(root, building.rules)
        grammar = pruning.pruned(grammar)
        if grammar.root == NEVER:
            raise errors.SchemaRefused(self._path, "no value satisfies the schema")
        nodes, deepest = pruning.size(grammar)
        if nodes > MAX_NODES or deepest > MAX_NESTED:
            raise errors.SchemaRefused(self._path, "the schema comes to too large a grammar")
        return Compiled(grammar, building.exact)

    def _inner(self, schema: Any, path: str) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise errors.SchemaRefused(path, f"the schema is nested deeper than {MAX_DEPTH}")
        node = self._node(schema, path)
        self._depth -= 1
        return node

    def _node(self, schema: Any, path: str) -> Node:
        self._building.spend(path)
        if isinstance(schema, bool):
            return json_text.VALUE if schema else NEVER
        if not isinstance(schema, dict):
            raise errors.SchemaRefused(path, "must be an object or a boolean")
        self._refuse(schema, path)
        if merging.needed(schema):
            return self._later(schema, path, partial(self._merged, schema, path))
        if "$ref" in schema:
            target = schema["$ref"]
            found = references.resolved(self._document, target, path)
            place = references.place(self._path, target)
            return self._later({"$ref": target}, place, partial(self._node, found, place))
        return self._alternatives(schema, path)

    def _later(self, key: Schema, path: str, make: Callable[[], Node]) -> Node:
        if key.keys() == {"$ref"}:
            known = canonical(["$ref", key["$ref"]])
        elif key.keys() == {"allOf"}:  # in whichever order it is met again
            known = canonical(["allOf", *sorted(map(canonical, listed(key, "allOf", path)))])
        else:
            known = canonical(key)
        return self._building.later(known, make)

    def _refuse(self, schema: Schema, path: str) -> None:
        for key in _REFUSED:
            if key in schema:
                raise errors.SchemaRefused(f"{path}.{key}", "isn't supported")
        if "$id" in schema and schema is not self._document and "$ref" in canonical(schema):
            raise errors.SchemaRefused(f"{path}.$id", "references from another base aren't supported")

    def _merged(self, schema: Schema, path: str) -> Node:
        made = merging.merged(self._building, self._document, schema, path)
        return self._node(made, path)

    def _alternatives(self, schema: Schema, path: str) -> Node:
        """Of `anyOf` and `oneOf` any; what stands beside them holds for each."""
        key = "anyOf" if schema.get("anyOf") is not None else "oneOf"
        if schema.get(key) is None:
            return self._typed(schema, path)
        options = listed(schema, key, path)
        beside = asserting({name: value for name, value in schema.items() if name != key})
        if key == "oneOf" and len(options) > 1:
            self._building.exact &= _apart(options)
        arms = [
            self._inner(merging.both(beside, one) if beside else one, f"{path}.{key}.{at}")
            for at, one in enumerate(options)
        ]
        return choice(*(arm for arm in arms if arm != NEVER))

    def _typed(self, schema: Schema, path: str) -> Node:
        types = merging.types(schema, path)
        for name in types or ():
            if name not in _TYPES:
                raise errors.SchemaRefused(f"{path}.type", f"there is no type {name[:50]!r}")
        self._building.exact &= not any(key in schema for key in _CHECKED) and schema.get("uniqueItems") is not True
        self._building.exact &= schema.get("unevaluatedProperties", False) in (False, True)
        if "const" in schema or "enum" in schema:
            return self._given(schema, types, path)
        if types is None:
            types = [name for name, keys in _BY_TYPE.items() if any(key in schema for key in keys)]
            if not types:
                return json_text.VALUE
        if "number" in types:
            types = [name for name in types if name != "integer"]
        return choice(
            *(node for node in (self._of_type(name, schema, path) for name in dict.fromkeys(types)) if node != NEVER)
        )

    def _given(self, schema: Schema, types: list[str] | None, path: str) -> Node:
        """The values that are given, as far as they are of the types."""
        values = [schema["const"]] if "const" in schema else merging.given(schema, path)
        if "const" in schema and "enum" in schema:
            self._building.exact = False
        self._building.spend_values(path, values)
        self._building.exact &= not any(key in schema for keys in _BY_TYPE.values() for key in keys)
        values = [value for value in values if types is None or any(_is(value, name) for name in types)]
        plain = [json_text.value(value) for value in values if not isinstance(value, dict | list)]
        texts = [node.text for node in plain if hasattr(node, "text")]
        made = [json_text.value(value) for value in values if isinstance(value, dict | list)]
        return choice(*([json_text.one_of(texts)] if texts else []), *made)

    def _of_type(self, name: str, schema: Schema, path: str) -> Node:
        if name == "object":
            return objects.node(self._building, schema, path, self._inner)
        if name == "array":
            return arrays.node(self._building, schema, path, self._inner)
        if name == "string":
            return strings.node(self._building, schema, path)
        if name in ("number", "integer"):
            return self._number(schema, path, whole=name == "integer")
        return json_text.BOOLEAN if name == "boolean" else json_text.NULL

    def _number(self, schema: Schema, path: str, *, whole: bool) -> Node:
        least = numbers.least(number(schema, "minimum", path), number(schema, "exclusiveMinimum", path))
        most = numbers.most(number(schema, "maximum", path), number(schema, "exclusiveMaximum", path))
        if least and abs(least.at) > numbers.LARGEST:
            least, self._building.exact = None, False
        if most and abs(most.at) > numbers.LARGEST:
            most, self._building.exact = None, False
        if whole:
            return numbers.whole(least, most)
        node, exact = numbers.numbers(least, most)
        self._building.exact &= exact
        return node


def _is(value: Any, name: str) -> bool:
    """Whether the value is of the type."""
    kinds: dict[str, type | tuple[type, ...]] = {"object": dict, "array": list, "string": str, "boolean": bool}
    if name in kinds:
        return isinstance(value, kinds[name])
    if name == "null":
        return value is None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return name == "number" or value == int(value)


def _apart(options: list[Any]) -> bool:
    """Whether no value can satisfy two of them: they are of different types, or tell themselves by a property."""
    if not all(isinstance(one, dict) for one in options):
        return False
    types = [one.get("type") for one in options]
    return all(isinstance(name, str) for name in types) and len(set(types) - {"number", "integer"}) == len(types)
