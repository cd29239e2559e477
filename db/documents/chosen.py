"""Documents that are chosen to be read again, in a collection or not: as a summary takes them.

Each function is called within `scope.scope` of the tenant it names.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, or_, select, update
from sqlalchemy.orm import Session

from db.documents.chunks import Chunk
from db.documents.documents import Document, DocumentText


def ready(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, limit: int) -> list[uuid.UUID]:
    """The ready documents of a collection as they came, at most `limit`."""
    own = (Document.tenant_id == tenant_id, Document.collection_id == collection_id, Document.status == "ready")
    return list(session.scalars(select(Document.id).where(*own).order_by(Document.id).limit(limit)))


@dataclass(frozen=True, slots=True)
class State:
    """How far a document has come. `loose`: it is in no collection; `job_id` is the job that it waits for, was made
    ready by, or was last named by."""

    status: str
    loose: bool
    job_id: uuid.UUID | None


def states(session: Session, tenant_id: uuid.UUID, document_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, State]:
    """Of each of these documents that is there."""
    query = select(Document.id, Document.status, Document.collection_id.is_(None), Document.job_id)
    rows = session.execute(query.where(Document.tenant_id == tenant_id, Document.id.in_(document_ids)))
    return {row[0]: State(row[1], row[2], row[3]) for row in rows}


def give_job(
    session: Session, tenant_id: uuid.UUID, free: Mapping[uuid.UUID, uuid.UUID | None], job_id: uuid.UUID
) -> set[uuid.UUID]:
    """Makes documents wait for the job: those of these that still wait for the job that is given here, if for any."""
    before = {each for each in free.values() if each}
    waits = or_(Document.job_id.is_(None), Document.job_id.in_(before)) if before else Document.job_id.is_(None)
    own = (Document.tenant_id == tenant_id, Document.id.in_(free), Document.status == "pending", waits)
    # In one order, so that two which want some of the same wait for each other, and not both.
    taken = session.scalars(select(Document.id).where(*own).order_by(Document.id).with_for_update()).all()
    statement = update(Document).where(Document.tenant_id == tenant_id, Document.id.in_(taken)).values(job_id=job_id)
    session.execute(statement, execution_options={"synchronize_session": False})
    return set(taken)


def name_job(session: Session, tenant_id: uuid.UUID, document_ids: Collection[uuid.UUID], job_id: uuid.UUID) -> None:
    """Notes the job as the last to name those of these documents that are ready and in no collection."""
    own = (Document.tenant_id == tenant_id, Document.id.in_(document_ids))
    loose = (Document.status == "ready", Document.collection_id.is_(None))
    statement = update(Document).where(*own, *loose).values(job_id=job_id)
    session.execute(statement, execution_options={"synchronize_session": False})


def loose_jobs(session: Session, tenant_id: uuid.UUID, unused: dt.timedelta, limit: int) -> list[uuid.UUID]:
    """The jobs that last named documents without a collection which came so long ago; at most so many, oldest first."""
    named = select(Document.job_id).where(*_loose(tenant_id, unused), Document.job_id.is_not(None))
    return [id for id in session.scalars(named.distinct().order_by(Document.job_id).limit(limit)) if id]


def forget_loose(
    session: Session, tenant_id: uuid.UUID, unused: dt.timedelta, job_ids: Collection[uuid.UUID], limit: int
) -> int:
    """Deletes documents without a collection that came so long ago and were last named by these jobs, or by none; at
    most so many, the oldest first; how many."""
    named = or_(Document.job_id.is_(None), Document.job_id.in_(job_ids))
    some = select(Document.id).where(*_loose(tenant_id, unused), named).order_by(Document.id).limit(limit)
    statement = delete(Document).where(Document.tenant_id == tenant_id, Document.id.in_(some)).returning(Document.id)
    return len(session.scalars(statement, execution_options={"synchronize_session": False}).all())


def _loose(tenant_id: uuid.UUID, unused: dt.timedelta) -> tuple[ColumnElement[bool], ...]:
    since = func.now() - unused
    return Document.tenant_id == tenant_id, Document.collection_id.is_(None), Document.created_at < since


def whole(
    session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID
) -> tuple[Document, str | None, dict[str, Any] | None] | None:
    """A document with its text and the marks in it."""
    query = select(Document, DocumentText.text, DocumentText.marks)
    query = query.join(DocumentText, DocumentText.document_id == Document.id)
    row = session.execute(query.where(Document.tenant_id == tenant_id, Document.id == document_id)).one_or_none()
    return (row[0], row[1], row[2]) if row else None


def part(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, begins: int, ends: int) -> str | None:
    """These characters of a document's text; None where it has none any more."""
    own = (Document.tenant_id == tenant_id, Document.id == document_id)
    query = select(func.substr(DocumentText.text, begins + 1, ends - begins))
    return session.scalar(query.join(Document, Document.id == DocumentText.document_id).where(*own))


def chunks(
    session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID
) -> Sequence[Row[int, str, int | None, int | None]]:
    """Number, text and place of each of a document's chunks, in order."""
    query = select(Chunk.number, Chunk.text, Chunk.begins, Chunk.ends)
    own = (Chunk.tenant_id == tenant_id, Chunk.document_id == document_id)
    return session.execute(query.where(*own).order_by(Chunk.number)).all()


def sizes(session: Session, tenant_id: uuid.UUID, document_ids: Collection[uuid.UUID]) -> list[int]:
    """About how many characters each of these documents has: its text's, or its file's bytes."""
    query = select(func.coalesce(func.length(DocumentText.text), Document.bytes))
    query = query.join(DocumentText, DocumentText.document_id == Document.id)
    rows = session.scalars(query.where(Document.tenant_id == tenant_id, Document.id.in_(document_ids)))
    return [int(size) for size in rows]


def names(
    session: Session, tenant_id: uuid.UUID, document_ids: Collection[uuid.UUID]
) -> dict[uuid.UUID, tuple[str | None, str | None]]:
    """The file name and the title of each of these documents that is there."""
    query = select(Document.id, Document.filename, Document.title)
    rows = session.execute(query.where(Document.tenant_id == tenant_id, Document.id.in_(document_ids)))
    return {row[0]: (row[1], row[2]) for row in rows}
