"""The properties in an OpenAPI document's requests and answers, each by its path, with what its values may be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

_ALL = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_DEEPEST = 12  # levels; schemas of schemas go on for ever
_ONE_OF = ("oneOf", "anyOf")


@dataclass(frozen=True, slots=True)
class Values:
    """JSON's types, and the values where only some are allowed."""

    types: frozenset[str]
    enum: frozenset[str] | None = None

    def or_(self, other: "Values") -> "Values":
        """What either allows."""
        if self.enum is None or other.enum is None:
            open_ = None if self._named_openly or other._named_openly else (self.enum or other.enum)
            return Values(self.types | other.types, open_)
        return Values(self.types | other.types, self.enum | other.enum)

    @property
    def _named_openly(self) -> bool:
        """True where any text is allowed."""
        return self.enum is None and "string" in self.types


@dataclass(frozen=True, slots=True)
class Document:
    """An OpenAPI document; `prefix` stands before OpenAI's own paths in it."""

    content: Mapping[str, Any]
    prefix: str = ""

    def operation(self, method: str, path: str) -> Mapping[str, Any] | None:
        """The operation, found by its path whatever its parameters are called; None where it isn't there."""
        wanted = _plain(self.prefix + path)
        for served, item in self.content["paths"].items():
            if _plain(served) == wanted and method in item:
                shared = item.get("parameters", [])
                return {**item[method], "parameters": [*shared, *item[method].get("parameters", [])]}
        return None

    def members(self, method: str, path: str) -> dict[str, dict[str, Values]]:
        """By `query`, `request`, `answer` and `stream`: the properties by path, as in `choices[].message.content`."""
        operation = self.operation(method, path) or {}
        answer = self._resolved(operation.get("responses", {}).get("200", {})).get("content", {})
        asked = operation.get("requestBody", {}).get("content", {})
        return {
            "query": self._query(operation),
            "request": self._of(asked, "application/json"),
            "answer": self._of(answer, "application/json"),
            "stream": self._of(answer, "text/event-stream"),
        }

    def _query(self, operation: Mapping[str, Any]) -> dict[str, Values]:
        parameters = [self._resolved(one) for one in operation.get("parameters", [])]
        return {one["name"]: self._values(one.get("schema", {})) for one in parameters if one["in"] == "query"}

    def _of(self, content: Mapping[str, Any], media_type: str) -> dict[str, Values]:
        found: dict[str, Values] = {}
        schema = content.get(media_type, {}).get("schema", {})
        # Of a stream that is described by its events, what their data holds.
        data = schema.get("properties", {}).get("data", {})
        told = (one["contentSchema"] for one in (data, *data.get("anyOf", ())) if "contentSchema" in one)
        schema = next(told, schema)
        for path, values in self._walk(schema, "", 0):
            found[path] = found[path].or_(values) if path in found else values
        return found

    def _walk(self, given: Schema, path: str, depth: int) -> Iterator[tuple[str, Values]]:
        """Every property within. What stands in several variants comes several times."""
        schema = self._resolved(given)
        if depth > _DEEPEST:
            return
        for name, member in schema.get("properties", {}).items():
            inner = f"{path}.{name}" if path else name
            yield inner, self._values(member)
            yield from self._walk(member, inner, depth + 1)
        for variant in [one for word in (*_ONE_OF, "allOf") for one in schema.get(word, [])]:
            yield from self._walk(variant, path, depth + 1)
        if isinstance(schema.get("items"), Mapping):
            yield from self._walk(schema["items"], f"{path}[]", depth + 1)

    def _values(self, given: Schema) -> Values:
        schema = self._resolved(given)
        values = self._own(schema)
        return Values(values.types | {"null"}, values.enum) if schema.get("nullable") else values

    def _own(self, schema: Schema) -> Values:
        variants = [self._values(one) for word in _ONE_OF for one in schema.get(word, [])]
        if variants:
            first, *others = variants
            for other in others:
                first = first.or_(other)
            return first
        if schema.get("allOf"):
            return next((own for one in schema["allOf"] if (own := self._values(one)).types != _ALL), Values(_ALL))
        return Values(_types(schema), _enum(schema))

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            found: Any = self.content
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema


def _types(schema: Schema) -> frozenset[str]:
    told = schema.get("type")
    if told is None:
        return frozenset({"object"}) if "properties" in schema else _ALL
    types = frozenset([told] if isinstance(told, str) else told)
    return types | {"integer"} if "number" in types else types


def _enum(schema: Schema) -> frozenset[str] | None:
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return None if allowed is None else frozenset(str(one) for one in allowed if one is not None)


def _plain(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
