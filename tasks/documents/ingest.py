"""Bringing documents into a collection. Every function takes a session, never commits, and opens the tenant's scope.

A document is `pending` until its ingest job made it `ready`, or found that it can't be (`failed`).
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.documents import chunks, collections, documents
from db.documents.documents import DocumentText, Kind
from db.jobs import Job
from db.scope import scope
from tasks import errors, ids
from tasks.documents import chunking, wording
from tasks.documents.chunking import About, Piece
from tasks.documents.marks import Extracted, Marks
from tasks.models import choosing
from tasks.models.catalog import Catalog, Model

_USUAL_PART = 0.75  # of the tokens that a chunk may have, it has so many for the most part
MAX_CHARACTERS = 4_000_000  # of one document's text, whether it comes so or is found in a file


@dataclass(frozen=True, slots=True)
class NewDocument:
    """What a client brings: a text, or a file (`raw`) to be read. Its shape is checked already."""

    text: str | None
    raw: bytes | None
    kind: Kind
    title: str | None
    filename: str | None
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pending:
    """A document that waits for its chunks; `bytes` is the size of what the client brought.

    `is_file`: its text is still to be extracted.
    """

    id: uuid.UUID
    kind: Kind
    bytes: int
    is_file: bool


@dataclass(frozen=True, slots=True)
class Work:
    """`waiting`: documents still to ingest, in order of arrival. `done`, `total`: bytes finished, bytes of all."""

    waiting: list[Pending]
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Source:
    """A text to be cut into pieces of at most `tokens` tokens, which overlap by about `overlap`."""

    text: str
    about: About
    tokens: int
    overlap: int


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a job's documents: how many are ready, and why others failed (code, message)."""

    ready: int
    failed: list[tuple[str, str]]
    result: dict[str, Any]


def home(
    session: Session, models: Catalog, tenant_id: uuid.UUID, name: str, model: str | None
) -> tuple[uuid.UUID, Model]:
    """The collection, kept until the transaction ends, and its model; it is made when there is none of this name.

    Its model is `model`, else the catalogue's default for embeddings. Raises `ModelUnknown`, and `InvalidField` when
    the collection has another model.
    """
    with scope(session, tenant_id):
        found = collections.find(session, tenant_id, name, keep=True)
        if found is None:
            embedder = choosing.model_for(models, "embed", model)
            collections.add(session, id=ids.new(), tenant_id=tenant_id, name=name, model=embedder.name)
            found = collections.find(session, tenant_id, name, keep=True)
    if found is None:
        raise errors.Unavailable(f"the collection {name} was deleted at this moment; try again")
    if model is not None and model != found.model:
        raise errors.InvalidField("model", f"the collection {name} has its vectors from {found.model}")
    return found.id, choosing.model_for(models, "embed", found.model)


def add(
    session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, job_id: uuid.UUID, new: Sequence[NewDocument]
) -> tuple[uuid.UUID, ...]:
    """Writes documents down that wait for the job; their ids, in the same order."""
    document_ids = tuple(ids.new() for _ in new)
    with scope(session, tenant_id):
        for document_id, document in zip(document_ids, new, strict=True):
            _add(session, tenant_id, collection_id, job_id, document_id, document)
    return document_ids


def take_over(
    session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, new_job_id: uuid.UUID
) -> tuple[uuid.UUID, ...]:
    """Makes the documents that still wait for a job wait for another; their ids, as they came."""
    with scope(session, tenant_id):
        return tuple(documents.take_over(session, tenant_id, job_id, new_job_id))


def work(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Work:
    """What there is to do for the job, and what is done."""
    with scope(session, tenant_id):
        rows = documents.work(session, tenant_id, job_id)
    waiting = [Pending(id, kind, size, is_file) for id, kind, size, status, is_file in rows if status == "pending"]
    total = sum(size for _, _, size, _, _ in rows)
    return Work(waiting, total - sum(document.bytes for document in waiting), total)


def raw(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> bytes | None:
    """The file; None when its text was found already, or the document is gone."""
    with scope(session, tenant_id):
        return documents.contents(session, tenant_id, document_id, DocumentText.raw)


def text(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> str | None:
    """The text; None when it wasn't found yet, or the document is gone."""
    with scope(session, tenant_id):
        return documents.contents(session, tenant_id, document_id, DocumentText.text)


def source(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> Source | None:
    """The text and how it is to be cut; None when it wasn't found yet, or the document is gone."""
    with scope(session, tenant_id):
        row = documents.source(session, tenant_id, document_id)
    if row is None or row.text is None:
        return None
    tokens = row.chunk_tokens or chunking.TOKENS
    overlap = row.chunk_overlap if row.chunk_overlap is not None else min(chunking.OVERLAP, tokens // 4)
    marks = Marks.from_json(row.marks) if row.marks else Marks()
    called = row.title or (PurePath(row.filename).stem if row.filename else None)
    return Source(row.text, About(called, row.kind, marks), tokens, overlap)


def extracted(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, found: Extracted) -> None:
    """Keeps the text that was found, and drops the file; its own title is kept where it was given none.

    Idempotent; does nothing when the document is gone.
    """
    with scope(session, tenant_id):
        documents.set_text(session, tenant_id, document_id, found.text, found.marks.to_json())
        about = {
            "charset": found.charset,
            "warnings": list(found.warnings),
            "title": func.coalesce(documents.Document.title, found.title),
        }
        documents.set_status(session, tenant_id, document_id, **about)


def failed(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, code: str, message: str) -> None:
    """Gives the document up, and drops what it held. Idempotent; does nothing when it is ready or gone."""
    with scope(session, tenant_id):
        if documents.give_up(session, tenant_id, document_id, code, message):
            chunks.clear(session, tenant_id, document_id)
            documents.set_text(session, tenant_id, document_id, None)


def fix_dimensions(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, dimensions: int) -> None:
    """Lets the document's collection have vectors of so many dimensions, if it has none yet. Idempotent.

    Does nothing when the document is gone. Raises `DimensionsDiffer`. Others that ingest into the collection for the
    first time wait for the end of the transaction: it should do nothing else.
    """
    with scope(session, tenant_id):
        found = documents.find(session, tenant_id, document_id)
        if found is None:
            return
        document, name = found
        assert document.collection_id is not None, "what is embedded is in a collection"
        fixed = collections.fix_dimensions(session, tenant_id, document.collection_id, dimensions)
        if fixed is not None and fixed != dimensions:
            raise errors.DimensionsDiffer(name or "", dimensions, fixed)


def resume(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, pieces: Sequence[Piece]) -> int:
    """How many of the document's pieces an earlier attempt has stored; drops what it cut otherwise than we do."""
    with scope(session, tenant_id):
        last = chunks.last(session, tenant_id, document_id)
        if last is None:
            return 0
        number, digest = last
        if number + 1 < len(pieces) and pieces[number].digest == digest:
            return number + 1
        chunks.clear(session, tenant_id, document_id)
        documents.set_status(session, tenant_id, document_id, chunks=None, tokens=None)
    return 0


def store(
    session: Session,
    tenant_id: uuid.UUID,
    document_id: uuid.UUID,
    pieces: Sequence[Piece],
    vectors: NDArray[np.float32],
    *,
    first: int = 0,
    last: bool = True,
) -> bool:
    """Adds chunks, numbered from `first` on; the last ones make the document ready, and all can be found.

    `vectors` are (len(pieces), d), of length 1, and `fix_dimensions` has been asked about d. False when the document
    doesn't wait any more, or is gone. It can't be deleted before the transaction ends, so that should be soon.
    """
    status = "ready" if last else "pending"
    tokens = sum(piece.tokens for piece in pieces)
    with scope(session, tenant_id):
        home = documents.grow(session, tenant_id, document_id, chunks=len(pieces), tokens=tokens, status=status)
        if home is None:
            return False
        rows = [
            {
                "document_id": document_id,
                "number": number,
                "tenant_id": tenant_id,
                "collection_id": home,
                "text": piece.text,
                "tokens": piece.tokens,
                "begins": piece.begins,
                "ends": piece.ends,
                "page": piece.page,
                "path": list(piece.path),
                "header": piece.header,
                "digest": piece.digest,
                "indexed": wording.spaced(piece.embedded),
                "embedding": vector,
            }
            for number, (piece, vector) in enumerate(zip(pieces, vectors, strict=True), first)
        ]
        collection = collections.by_id(session, tenant_id, home)
        assert collection is not None, "a document keeps its collection"
        usual = _USUAL_PART * (collection.chunk_tokens or chunking.TOKENS)
        chunks.add(session, rows, config=wording.config(collection.language), usual_tokens=usual)
    return True


def outcome(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Ingested:
    """What became of the job's documents, of those that are still there."""
    given = session.scalars(select(Job.input).where(Job.id == job_id)).one()
    with scope(session, tenant_id):
        rows = [row for row, _ in documents.of_job(session, tenant_id, job_id)]
    shown = [_summary(row) for row in rows]
    return Ingested(
        ready=sum(row.status == "ready" for row in rows),
        failed=[(row.error_code, row.error_message or "") for row in rows if row.error_code],
        result={
            "collection": given["collection"],
            "documents": shown,
            "chunks": sum(row.chunks or 0 for row in rows if row.status == "ready"),
        },
    )


def _add(
    session: Session,
    tenant_id: uuid.UUID,
    collection_id: uuid.UUID,
    job_id: uuid.UUID,
    document_id: uuid.UUID,
    new: NewDocument,
) -> None:
    size = len(new.raw) if new.raw is not None else len((new.text or "").encode())
    values = {
        "id": document_id,
        "tenant_id": tenant_id,
        "collection_id": collection_id,
        "job_id": job_id,
        "title": new.title,
        "labels": new.metadata,
        "kind": new.kind,
        "filename": new.filename,
        "bytes": size,
        "status": "pending",
    }
    documents.add(session, values, raw=new.raw, text=new.text)


def _summary(row: documents.Document) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": ids.show(row.id, ids.DOCUMENT),
        "title": row.title,
        "filename": row.filename,
        "status": row.status,
        "chunks": row.chunks if row.status == "ready" else None,
    }
    if row.error_code:
        shown["error"] = {"code": row.error_code, "message": row.error_message or ""}
    return shown
