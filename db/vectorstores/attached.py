"""Documents that are made of kept files: each file once in a collection.

Each function is called within `scope.scope` of the tenant it names.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, delete, false, func, insert, not_, or_, select, update
from sqlalchemy.orm import Session

from db.documents.chunks import Chunk
from db.documents.documents import Document, DocumentText
from db.documents.reembedding import Reembedded
from db.files.files import File
from db.vectorstores import pages
from db.vectorstores.pages import Page

CANCELLED = "cancelled"  # the error of a document whose job was cancelled
STATUSES = ("in_progress", "completed", "failed", "cancelled")
_AS_IT_IS = {"synchronize_session": False}

Counted = Row[uuid.UUID | None, str, bool, uuid.UUID | None, int, int]


@dataclass(frozen=True, slots=True)
class Ended:
    """The jobs that documents wait for and that have ended: those that were cancelled, and the others."""

    cancelled: Collection[uuid.UUID] = ()
    otherwise: Collection[uuid.UUID] = ()


def hold_files(session: Session, tenant_id: uuid.UUID, file_ids: Collection[uuid.UUID]) -> Sequence[File]:
    """Those of the files that are there. Until the transaction ends nobody deletes or attaches one of them."""
    own = (File.tenant_id == tenant_id, File.id.in_(file_ids))
    alive = or_(File.expires_at.is_(None), File.expires_at > func.now())
    return session.scalars(select(File).where(*own, alive).order_by(File.id).with_for_update()).all()


def of_files(
    session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, file_ids: Collection[uuid.UUID]
) -> Sequence[Document]:
    """The collection's documents of these files."""
    where = (Document.tenant_id == tenant_id, Document.collection_id == collection_id, Document.file_id.in_(file_ids))
    return session.scalars(select(Document).where(*where), execution_options={"populate_existing": True}).all()


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts documents, their columns given by name; their contents are read when their turn comes."""
    if rows:
        session.execute(insert(Document), [dict(row) for row in rows])
        texts = [{"document_id": row["id"], "tenant_id": row["tenant_id"]} for row in rows]
        session.execute(insert(DocumentText), texts)


def hand_over(
    session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, job_id: uuid.UUID, labels: Mapping[str, Any] | None
) -> None:
    """Counts a document that is ready among the job's, with these attributes from now on, or with those it has."""
    values = {"job_id": job_id} | ({} if labels is None else {"labels": dict(labels)})
    _update(session, tenant_id, Document.id == document_id, values)


def label(
    session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, file_id: uuid.UUID, labels: Mapping[str, Any]
) -> bool:
    """Gives the file other attributes in this collection. False where it isn't there."""
    which = and_(Document.collection_id == collection_id, Document.file_id == file_id)
    return _update(session, tenant_id, which, {"labels": dict(labels)}) > 0


def remove(session: Session, tenant_id: uuid.UUID, document_ids: Collection[uuid.UUID]) -> None:
    """Deletes these documents with their chunks."""
    _lock(session, tenant_id, Document.id.in_(document_ids))
    gone = delete(Document).where(Document.tenant_id == tenant_id, Document.id.in_(document_ids))
    session.execute(gone, execution_options=_AS_IT_IS)


def remove_some(session: Session, tenant_id: uuid.UUID, file_ids: Collection[uuid.UUID], at_once: int) -> bool:
    """Deletes some of the documents that were made of these files, in whichever collections. False when there are no
    more of them, for as long as the files are held."""
    own = (Document.tenant_id == tenant_id, Document.file_id.in_(file_ids))
    query = select(Document.id).where(*own).order_by(Document.id).limit(at_once).with_for_update()
    some = session.scalars(query).all()
    if some:
        remove(session, tenant_id, some)
    return len(some) == at_once


def give_up(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, code: str, why: str, limit: int) -> bool:
    """Marks files' documents that wait for the job as failed, at most `limit`, and drops what is stored of them;
    whether there were any."""
    waiting = (Document.tenant_id == tenant_id, Document.job_id == job_id, Document.status == "pending")
    query = select(Document.id).where(*waiting, Document.file_id.is_not(None)).order_by(Document.id)
    some = session.scalars(query.limit(limit).with_for_update()).all()
    if some:
        for table in (Chunk, Reembedded):
            gone = delete(table).where(table.tenant_id == tenant_id, table.document_id.in_(some))
            session.execute(gone, execution_options=_AS_IT_IS)
        texts = update(DocumentText).where(DocumentText.tenant_id == tenant_id, DocumentText.document_id.in_(some))
        session.execute(texts.values(text=None, marks=None), execution_options=_AS_IT_IS)
        values = {"status": "failed", "chunks": None, "tokens": None, "error_code": code, "error_message": why}
        _update(session, tenant_id, Document.id.in_(some), values)
    return bool(some)


def waited_for(session: Session, tenant_id: uuid.UUID, which: ColumnElement[bool]) -> Sequence[uuid.UUID]:
    """The jobs that these documents wait for."""
    waiting = (Document.tenant_id == tenant_id, which, Document.status == "pending", Document.job_id.is_not(None))
    return [id for id in session.scalars(select(Document.job_id).where(*waiting).distinct()) if id is not None]


def counted(session: Session, tenant_id: uuid.UUID, which: ColumnElement[bool]) -> Sequence[Counted]:
    """How many of these documents are alike, and the bytes of those: by collection, status, whether they were
    cancelled, and the job that they wait for."""
    cancelled = func.coalesce(Document.error_code == CANCELLED, false())
    job = case((Document.status == "pending", Document.job_id))
    alike = (Document.collection_id, Document.status, cancelled, job)
    query = select(*alike, func.count(), func.coalesce(func.sum(Document.bytes), 0))
    query = query.where(Document.tenant_id == tenant_id, Document.file_id.is_not(None), which)
    return session.execute(query.group_by(*alike)).all()


def page(
    session: Session,
    tenant_id: uuid.UUID,
    which: ColumnElement[bool],
    wanted: Page,
    *,
    status: str | None,
    ended: Ended,
) -> Sequence[Document]:
    """These documents of files, as they were attached, of this status only."""
    query = select(Document).where(Document.tenant_id == tenant_id, Document.file_id.is_not(None), which)
    if status is not None:
        query = query.where(_are(status, ended))
    return [row for (row,) in pages.read(session, query, Document.id, wanted)]


def of_collection(collection_ids: Collection[uuid.UUID]) -> ColumnElement[bool]:
    return Document.collection_id.in_(collection_ids)


def of_job(collection_id: uuid.UUID, job_id: uuid.UUID) -> ColumnElement[bool]:
    return and_(Document.collection_id == collection_id, Document.job_id == job_id)


def _are(status: str, ended: Ended) -> ColumnElement[bool]:
    """The condition that documents are told to have this one of `STATUSES`."""
    waits, failed = Document.status == "pending", Document.status == "failed"
    cancelled = func.coalesce(Document.error_code == CANCELLED, false())
    if status == "completed":
        return Document.status == "ready"
    if status == "in_progress":
        over = Document.job_id.in_([*ended.cancelled, *ended.otherwise])
        return and_(waits, not_(func.coalesce(over, false())))
    if status == "cancelled":
        return or_(and_(failed, cancelled), and_(waits, Document.job_id.in_(ended.cancelled)))
    return or_(and_(failed, not_(cancelled)), and_(waits, Document.job_id.in_(ended.otherwise)))


def _lock(session: Session, tenant_id: uuid.UUID, which: ColumnElement[bool]) -> None:
    """By their ids, as all do that lock several documents: else two might wait for each other."""
    query = select(Document.id).where(Document.tenant_id == tenant_id, which)
    session.execute(query.order_by(Document.id).with_for_update())


def _update(session: Session, tenant_id: uuid.UUID, which: ColumnElement[bool], values: Mapping[str, Any]) -> int:
    changed = update(Document).where(Document.tenant_id == tenant_id, which).values(**values).returning(Document.id)
    return len(session.scalars(changed, execution_options=_AS_IT_IS).all())
