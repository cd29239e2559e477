"""Fields about documents that requests of several dialects have: what is noted on them, and what is looked for."""

from collections.abc import Callable
from typing import Any

import marshmallow as ma
from marshmallow import fields

from dialects.fields import STORABLE
from tasks import errors
from tasks.documents import filters, ranking
from tasks.documents.ingest import MAX_CHARACTERS

MAX_PAIRS = 16

FACTS: dict[str, Any] = {
    "maxProperties": MAX_PAIRS,
    "propertyNames": {"maxLength": 64, **STORABLE},
    "additionalProperties": {
        "oneOf": [{"type": "string", "maxLength": 512, **STORABLE}, {"type": "number"}, {"type": "boolean"}]
    },
}


class Facts(fields.Dict):
    """Metadata of a document, or what a search wants of it: strings, numbers and booleans by name."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        pairs = super()._deserialize(value, *args, **kwargs)  # type: ignore[no-untyped-call]
        if len(pairs) > MAX_PAIRS:
            raise ma.ValidationError(f"at most {MAX_PAIRS} pairs")
        for key, fact in pairs.items():
            if len(key) > 64:
                raise ma.ValidationError({key[:64]: ["a key has at most 64 characters"]})
            if not isinstance(fact, (str, int, float)) or (isinstance(fact, str) and len(fact) > 512):
                raise ma.ValidationError({key: ["must be a string of at most 512 characters, a number or a boolean"]})
        return pairs


def facts(description: str) -> Facts:
    return Facts(allow_none=True, metadata={"description": description, **FACTS})


def not_blank(what: str) -> Callable[[str], None]:
    """Something other than spaces, and not too much of it."""

    def check(text: str) -> None:
        if not text.strip():
            raise ma.ValidationError(f"the {what} is empty")
        if len(text) > MAX_CHARACTERS:
            raise ma.ValidationError(f"at most {MAX_CHARACTERS} characters")

    return check


_SCALAR: list[dict[str, Any]] = [
    {"type": "string", "maxLength": filters.MAX_TEXT, **STORABLE},
    {"type": "number"},
    {"type": "boolean"},
]


def _comparison(named: tuple[str, ...]) -> dict[str, Any]:
    own = f", or {', '.join(f'`{field}`' for field in named)}" if named else ""
    return _COMPARISON | {
        "properties": _COMPARISON["properties"]
        | {"key": {"type": "string", "description": f"One of the metadata{own}."}}
    }


_COMPARISON: dict[str, Any] = {
    "type": "object",
    "required": ["type", "key", "value"],
    "properties": {
        "type": {"type": "string", "enum": [*filters.EQUALS, *filters.ORDERS, *filters.LISTS]},
        "value": {"oneOf": [*_SCALAR, {"type": "array", "items": {"oneOf": _SCALAR}, "maxItems": filters.MAX_LISTED}]},
    },
}
_JOINED = {
    "type": "object",
    "required": ["type", "filters"],
    "properties": {
        "type": {"type": "string", "enum": [*filters.JOINS]},
        "filters": {"type": "array", "minItems": 1, "maxItems": filters.MAX_PARTS, "items": {"type": "object"}},
    },
}
_ALL_EQUAL = {"type": "object", "additionalProperties": {"oneOf": _SCALAR}, "maxProperties": 16}


class Filter(fields.Field[Any]):
    """Which documents are searched, as OpenAI's vector stores have it, or what their metadata must have."""

    def __init__(self, description: str, *, named: tuple[str, ...] = filters.FIELDS, **options: Any) -> None:
        """`named` are the fields of documents that its keys may name; all others are of the metadata."""
        forms = [_comparison(named), _JOINED, *([_ALL_EQUAL] if named else [])]
        super().__init__(metadata={"description": description, "anyOf": forms}, **options)
        self._named = named

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        try:
            filters.parse(value, "", fields=self._named)
        except errors.InvalidField as error:
            raise ma.ValidationError(_under((error.field or "").strip("."), str(error))) from error
        return value


def _under(path: str, message: str) -> Any:
    """The message as marshmallow tells it of a part of a field: an object in an object for each dot."""
    told: Any = [message]
    for name in reversed(path.split(".") if path else []):
        told = {name: told}
    return told


class Queries(fields.Field[Any]):
    """One question, or a list of them."""

    def __init__(self, **options: Any) -> None:
        text: dict[str, Any] = {"type": "string", "minLength": 1, **STORABLE}
        several = {"type": "array", "items": text, "minItems": 1, "maxItems": ranking.MAX_QUERIES}
        told = "Of several, a passage's score is its best."
        super().__init__(metadata={"description": told, "oneOf": [text, several]}, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:  # noqa: ARG002
        queries = value if isinstance(value, list) else [value]
        if not 1 <= len(queries) <= ranking.MAX_QUERIES:
            raise ma.ValidationError(f"1 to {ranking.MAX_QUERIES} queries")
        for place, query in enumerate(queries):
            try:
                if not isinstance(query, str):
                    raise ma.ValidationError("must be a string")
                not_blank("query")(query)
            except ma.ValidationError as error:
                raise ma.ValidationError(
                    {str(place): error.messages} if value is queries else error.messages
                ) from error
        return queries
