"""What clients are answered about documents and collections."""

from typing import Annotated, Any, Literal, TypedDict

from tasks import times
from tasks.documents import library
from tasks.documents.library import KINDS, STATUSES
from tasks.jobs.view import JobError
from tasks.times import Moment
from webapi.v1.named import DOCUMENT, JOB


class DocumentLinks(TypedDict):
    self: str
    job: Annotated[str | None, "The job that ingests it, or summarises it; null before that is asked for."]


class Document(TypedDict):
    """One document."""

    id: str
    object: Literal["document"]
    collection: Annotated[str | None, "Null when it is kept for a summary only."]
    title: str | None
    filename: str | None
    kind: Annotated[str, {"enum": KINDS}]
    metadata: dict[str, Any]
    bytes: Annotated[int, "Of what came: the text or the file."]
    status: Annotated[str, {"enum": STATUSES}, "`ready` ones are found."]
    chunks: int | None
    tokens: Annotated[int | None, "Of all its chunks."]
    error: JobError | None
    created_at: Moment
    links: DocumentLinks


def document(found: library.Document) -> Document:
    shown = DOCUMENT.show(found.id)
    return {
        "id": shown,
        "object": "document",
        "collection": found.collection,
        "title": found.title,
        "filename": found.filename,
        "kind": found.kind,
        "metadata": found.metadata,
        "bytes": found.bytes,
        "status": found.status,
        "chunks": found.chunks,
        "tokens": found.tokens,
        "error": found.error,
        "created_at": times.show(found.created_at),
        "links": {
            "self": f"/v1/documents/{shown}",
            "job": f"/v1/jobs/{JOB.show(found.job_id)}" if found.job_id else None,
        },
    }


class CollectionLinks(TypedDict):
    self: str
    documents: str


class Collection(TypedDict):
    """A named set of documents, all embedded by one model."""

    name: str
    object: Literal["collection"]
    model: str
    dimensions: Annotated[int | None, "Null before any vectors."]
    documents: int
    chunks: Annotated[int, "Of the documents that are ready."]
    created_at: Moment
    links: CollectionLinks


def collection(found: library.Collection) -> Collection:
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
