"""What clients may send to have documents reranked, as Jina's and Cohere's clients and llama-server do."""

from typing import Any

import marshmallow as ma
from marshmallow import fields

from dialects.fields import STORABLE, Flag, Given, Some, Whole, filled, within
from tasks.kinds.rerank import MAX_DOCUMENTS

_TEXT = {"type": "string", **STORABLE}
_DOCUMENT = {
    "oneOf": [
        _TEXT,
        {"type": "object", "properties": {"text": _TEXT}, "required": ["text"], "additionalProperties": False},
    ]
}


class Document(fields.Field[str]):
    """A text, or an object that has one; always the text inside."""

    def __init__(self) -> None:
        super().__init__(metadata=_DOCUMENT)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:  # noqa: ARG002
        text = value["text"] if isinstance(value, dict) and value.keys() == {"text"} else value
        if not isinstance(text, str):
            raise ma.ValidationError("must be a text, or an object with `text` alone")
        return text


class Rerank(fields.Field[Any]):
    """Whether what is found is reranked: by the catalogue's default (true), by a named model, or not (false)."""

    def __init__(self, description: str) -> None:
        described = {
            "description": description,
            "oneOf": [{"type": "boolean"}, {"type": "string", "minLength": 1, **STORABLE}],
        }
        super().__init__(allow_none=True, metadata=described)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool | str:  # noqa: ARG002
        if not isinstance(value, bool | str) or value == "":
            raise ma.ValidationError("must be true, false, or the name of a model that reranks")
        return value


class Candidates(Given):
    """A query, and the documents that may answer it."""

    query = fields.String(required=True, validate=filled("query"), metadata=STORABLE)
    documents = Some(Document(), MAX_DOCUMENTS, required=True)
    top_n = Whole(
        allow_none=True,
        validate=within(1, MAX_DOCUMENTS),
        metadata={"description": "Only so many of the best; all if absent."},
    )
    truncation = Flag(
        allow_none=True,
        metadata={"description": "Of a document that is too long its beginning is read; without it that is an error."},
    )


class RerankCall(Candidates):
    """A query and documents, to be answered at once."""

    model = fields.String(allow_none=True, metadata={"description": "The catalogue's default for `rerank` if absent."})
    return_documents = Flag(allow_none=True, metadata={"description": "Has each result show its document's text."})
