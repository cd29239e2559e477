"""What a tenant has: its documents and collections, to be looked at, listed and deleted.

Every function takes a session, never commits, and opens the tenant's scope itself.
"""

import datetime as dt
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.documents import chunks as chunks_table
from db.documents import collections as collections_table
from db.documents import documents, identities
from db.documents.documents import KINDS as KINDS
from db.documents.documents import STATUSES as STATUSES
from db.documents.documents import Kind as Kind
from db.jobs import Job
from db.scope import scope
from tasks import errors, ids
from tasks.documents import chunking, homes
from tasks.documents.marks import Marks
from tasks.jobs import lifecycle
from tasks.jobs.view import JobError
from tasks.keys import Caller


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of documents; `dimensions` is None until it has its first vectors, `chunks` counts what's ready."""

    name: str
    model: str
    language: str
    chunk_tokens: int
    chunk_overlap: int
    dimensions: int | None
    documents: int
    chunks: int
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Document:
    """A document as the world sees it. Times are UTC. One that is kept for a summary only has no collection.

    `digest` is the SHA-256 of its contents, in hexadecimal; the document `duplicate_of` has the same, and came before.
    What came in an `archive` has that one's name and digest.
    """

    id: uuid.UUID
    collection: str | None
    job_id: uuid.UUID | None
    title: str | None
    filename: str | None
    external_id: str | None
    kind: str
    charset: str | None
    metadata: dict[str, Any]
    bytes: int
    digest: str | None
    archive: str | None
    archive_digest: str | None
    duplicate_of: uuid.UUID | None
    status: str
    chunks: int | None
    tokens: int | None
    warnings: list[str]
    error: JobError | None
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Text:
    """A part of a document's text, which begins at `begins`, and the marks that begin in it; `characters` has all."""

    document_id: uuid.UUID
    text: str
    begins: int
    characters: int
    charset: str | None
    marks: Marks


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document, as `Piece` tells."""

    number: int
    text: str
    tokens: int
    begins: int | None
    ends: int | None
    page: int | None
    path: list[str]
    header: str | None


_REMOVED = ("failed", "job_removed", "the job that was to read it is gone: bring it again")


def get(session: Session, caller: Caller, document_id: uuid.UUID) -> Document:
    """The tenant's document. Raises `NotFound`, for another tenant's too."""
    with scope(session, caller.tenant_id):
        found = documents.find(session, caller.tenant_id, document_id)
    if found is None:
        raise _no_document(document_id)
    return _documents(session, caller, [found])[0]


def text(session: Session, caller: Caller, document_id: uuid.UUID, *, begins: int, limit: int) -> Text:
    """At most `limit` characters of the document's text. Raises `NotFound`, and `Conflict` unless it is ready."""
    document = _ready(session, caller, document_id)
    with scope(session, caller.tenant_id):
        row = documents.part(session, caller.tenant_id, document_id, begins, limit)
    if row is None:
        raise _no_document(document_id)
    marks = Marks.from_json(row.marks) if row.marks else Marks()
    return Text(document_id, row.part, begins, row.characters, document.charset, marks.within(begins, begins + limit))


def chunks(
    session: Session, caller: Caller, document_id: uuid.UUID, *, limit: int, after: int = -1
) -> tuple[list[Chunk], bool]:
    """The document's chunks in order, at most `limit` of those behind number `after`; True when there are more.

    Raises `NotFound`, and `Conflict` unless it is ready.
    """
    _ready(session, caller, document_id)
    with scope(session, caller.tenant_id):
        rows = chunks_table.page(session, caller.tenant_id, document_id, after=after, limit=limit + 1)
    return [Chunk(*row) for row in rows[:limit]], len(rows) > limit


def page(
    session: Session,
    caller: Caller,
    *,
    limit: int,
    before: uuid.UUID | None = None,
    collection: str | None = None,
    status: str | None = None,
    **wanted: str,
) -> tuple[list[Document], bool]:
    """The tenant's documents, newest first, at most `limit` of those older than `before`; True when there are more.

    Only those that have what is `wanted`: an `external_id`, a `filename`, an `archive`. Raises `NotFound` for a
    collection that the tenant doesn't have.
    """
    with scope(session, caller.tenant_id):
        home = collections_table.find(session, caller.tenant_id, collection) if collection is not None else None
        if home is None and collection is not None:
            raise no_collection(collection)
    own = ({"collection_id": home.id} if home else {}) | wanted
    are = _are(session, caller, status) if status is not None else None
    with scope(session, caller.tenant_id):
        rows = documents.page(session, caller.tenant_id, own, are=are, before=before, limit=limit + 1)
    return _documents(session, caller, rows[:limit]), len(rows) > limit


def delete(session: Session, caller: Caller, document_id: uuid.UUID) -> None:
    """Deletes the document with its chunks. Raises `NotFound`, for another tenant's too."""
    with scope(session, caller.tenant_id):
        if not documents.remove(session, caller.tenant_id, document_id):
            raise _no_document(document_id)


def collections(session: Session, caller: Caller, *, limit: int, after: str = "") -> tuple[list[Collection], bool]:
    """The tenant's collections by name, at most `limit` of those that follow `after`; True when there are more."""
    with scope(session, caller.tenant_id):
        rows = documents.counted(session, caller.tenant_id, after=after, limit=limit + 1)
    return [_collection(row) for row in rows[:limit]], len(rows) > limit


def collection(session: Session, caller: Caller, name: str) -> Collection:
    """The tenant's collection, and what is in it counted. Raises `NotFound`, for another tenant's too."""
    with scope(session, caller.tenant_id):
        found = documents.counted(session, caller.tenant_id, name=name)
    if not found:
        raise no_collection(name)
    return _collection(found[0])


def delete_collection(session: Session, caller: Caller, name: str) -> None:
    """Deletes the collection with all its documents. Raises `NotFound`, for another tenant's too."""
    with scope(session, caller.tenant_id):
        if not collections_table.remove(session, caller.tenant_id, name):
            raise no_collection(name)


def no_collection(name: str) -> errors.NotFound:
    return errors.NotFound(f"no collection {name[:64]}")


def _collection(row: documents.Counted) -> Collection:
    kept, count, ready = row
    tokens = kept.chunk_tokens or chunking.TOKENS
    return Collection(
        name=kept.name,
        model=kept.model,
        language=kept.language or homes.LANGUAGE,
        chunk_tokens=tokens,
        chunk_overlap=homes.overlap_of(kept.chunk_overlap, tokens),
        dimensions=kept.dimensions,
        documents=count,
        chunks=ready or 0,
        created_at=kept.created_at,
    )


def _documents(session: Session, caller: Caller, rows: Iterable[documents.Found]) -> list[Document]:
    """The rows' values; a document that waits for a job which has ended otherwise has failed with it."""
    rows = list(rows)
    with scope(session, caller.tenant_id):
        firsts = identities.firsts(session, caller.tenant_id, [row for row, _ in rows])
    values = [_document(row, collection, firsts.get(row.id)) for row, collection in rows]
    over = ended(session, caller, {value.job_id for value in values if value.status == "pending" and value.job_id})
    return [
        _failed_with(value, *over[value.job_id]) if value.status == "pending" and value.job_id in over else value
        for value in values
    ]


def ended(session: Session, caller: Caller, job_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Any]:
    """Status and error of those of the jobs that have ended; of one that was removed, that it was."""
    mine = (Job.tenant_id == caller.tenant_id, Job.id.in_(job_ids := list(job_ids)))
    query = select(Job.id, Job.status, Job.error_code, Job.error_message).where(*mine)
    told: dict[uuid.UUID, Any] = dict.fromkeys(job_ids, _REMOVED)
    told |= {row[0]: row[1:] for row in session.execute(query)} if job_ids else {}
    return {job_id: end for job_id, end in told.items() if end is _REMOVED or end[0] in lifecycle.TERMINAL}


def _are(session: Session, caller: Caller, status: str) -> documents.Are:
    """The condition on a document that it is shown with the status: with its job, one that waits for it has failed."""
    if status == "ready":
        return documents.Are(status)
    with scope(session, caller.tenant_id):
        waited_for = documents.waited_for(session, caller.tenant_id)
    return documents.Are(status, tuple(ended(session, caller, waited_for)))


def _ready(session: Session, caller: Caller, document_id: uuid.UUID) -> Document:
    """The document. Raises `NotFound`, and `Conflict` unless it is ready."""
    found = get(session, caller, document_id)
    if found.status == "failed":
        reason = found.error["message"] if found.error else found.status
        raise errors.Conflict(f"{ids.show(document_id, ids.DOCUMENT)} has failed: {reason}")
    if found.status != "ready":
        raise errors.Conflict(f"{ids.show(document_id, ids.DOCUMENT)} is {found.status}: wait for its job")
    return found


def _failed_with(value: Document, status: str, code: str | None, message: str | None) -> Document:
    error: JobError = {"code": code or status, "message": message or f"its job has ended: {status}"}
    return replace(value, status="failed", error=error)


def _document(row: documents.Document, collection: str | None, first: uuid.UUID | None) -> Document:
    ready = row.status == "ready"
    return Document(
        id=row.id,
        collection=collection,
        job_id=row.job_id,
        title=row.title,
        filename=row.filename,
        external_id=row.external_id,
        kind=row.kind,
        charset=row.charset,
        metadata=row.labels,
        bytes=row.bytes,
        digest=row.digest.hex() if row.digest is not None else None,
        archive=row.archive,
        archive_digest=row.archive_digest.hex() if row.archive_digest is not None else None,
        duplicate_of=first,
        status=row.status,
        chunks=row.chunks if ready else None,
        tokens=row.tokens if ready else None,
        warnings=row.warnings,
        error={"code": row.error_code, "message": row.error_message or ""} if row.error_code else None,
        created_at=row.created_at,
    )


def _no_document(document_id: uuid.UUID) -> errors.NotFound:
    return errors.NotFound(f"no document {ids.show(document_id, ids.DOCUMENT)}")
