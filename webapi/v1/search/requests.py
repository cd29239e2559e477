"""What clients may send to search."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.fields import STORABLE, Given, Real, Whole
from tasks import errors
from tasks.documents import filters, ranking
from webapi.v1.documents.requests import Name, not_blank
from webapi.v1.rerank.requests import Rerank

_SCALAR: list[dict[str, Any]] = [
    {"type": "string", "maxLength": filters.MAX_TEXT, **STORABLE},
    {"type": "number"},
    {"type": "boolean"},
]
_COMPARISON = {
    "type": "object",
    "required": ["type", "key", "value"],
    "properties": {
        "type": {"type": "string", "enum": [*filters.EQUALS, *filters.ORDERS, *filters.LISTS]},
        "key": {
            "type": "string",
            "description": f"One of the metadata, or {', '.join(f'`{field}`' for field in filters.FIELDS)}.",
        },
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

    def __init__(self, description: str, **options: Any) -> None:
        described = {"description": description, "anyOf": [_COMPARISON, _JOINED, _ALL_EQUAL]}
        super().__init__(metadata=described, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        try:
            filters.parse(value, "")
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


class SearchRequest(Given):
    """What to look for, and where."""

    query = Queries(required=True)
    collection = Name(required=True)
    top_k = Whole(
        allow_none=True, validate=validate.Range(1, 100), metadata={"description": "At most so many; 10 if absent."}
    )
    threshold = Real(
        allow_none=True, validate=validate.Range(0, 1), metadata={"description": "Only what has this `score` or more."}
    )
    filter = Filter("Only documents for which this holds.", allow_none=True)
    neighbours = Whole(
        allow_none=True,
        validate=validate.Range(0, ranking.MAX_NEIGHBOURS),
        metadata={"description": "Show each with so many chunks before and after it, and as one what stands together."},
    )
    rerank = Rerank("Has a model of the type `rerank`, of this name or the default, put the best into order.")
