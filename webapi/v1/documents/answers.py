"""What clients are answered about documents and collections."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from db.documents import KINDS, STATUSES
from tasks import times
from tasks.documents import library
from webapi.v1.jobs.answers import JobError


class DocumentLinks(ma.Schema):
    self = fields.String(required=True)
    job = fields.String(required=True, metadata={"description": "The job that ingests it."})


class Document(ma.Schema):
    """One document. `tasks.holdings` renders it; this says what can be relied on."""

    id = fields.String(required=True)
    object = fields.String(required=True, metadata={"enum": ["document"]})
    collection = fields.String(required=True)
    title = fields.String(required=True, allow_none=True)
    filename = fields.String(required=True, allow_none=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    metadata = fields.Dict(required=True)
    bytes = fields.Integer(required=True, metadata={"description": "Of what came: the text or the file."})
    status = fields.String(
        required=True, validate=validate.OneOf(STATUSES), metadata={"description": "`ready` ones are found."}
    )
    chunks = fields.Integer(required=True, allow_none=True)
    tokens = fields.Integer(required=True, allow_none=True, metadata={"description": "Of all its chunks."})
    error = fields.Nested(JobError, required=True, allow_none=True)
    created_at = fields.DateTime(required=True)
    links = fields.Nested(DocumentLinks, required=True)


class Collection(ma.Schema):
    """A named set of documents, all embedded by one model."""

    name = fields.String(required=True)
    object = fields.String(required=True, metadata={"enum": ["collection"]})
    model = fields.String(required=True)
    dimensions = fields.Integer(required=True, allow_none=True, metadata={"description": "Null before any vectors."})
    documents = fields.Integer(required=True)
    chunks = fields.Integer(required=True, metadata={"description": "Of the documents that are ready."})
    created_at = fields.DateTime(required=True)
    links = fields.Nested(lambda: CollectionLinks(), required=True)


class CollectionLinks(ma.Schema):
    self = fields.String(required=True)
    documents = fields.String(required=True)


def collection(found: library.Collection) -> dict[str, Any]:
    path = f"/v1/collections/{found.name}"
    return {
        "name": found.name,
        "object": "collection",
        "model": found.model,
        "dimensions": found.dimensions,
        "documents": found.documents,
        "chunks": found.chunks,
        "created_at": times.show(found.created_at),
        "links": {"self": path, "documents": f"/v1/documents?collection={found.name}"},
    }
