"""Which documents are versions of one another, and which have the same contents.

In a collection, documents of one `external_id` are versions of one; so are those without any that have a file name in
common, when the newest was brought to replace the others. The newer was accepted later, as its id says. What came in
an archive has versions by its own name; and what a later version of that archive hasn't any more is gone too.

Each function is called within `scope.scope` of the tenant it names.
"""

import uuid
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, delete, false, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from db.documents.chunks import Chunk, own_vector
from db.documents.collections import Collection as Home
from db.documents.documents import Document

_SOURCES = 8  # documents whose vectors are taken over
_OLDEST = 8  # documents of the same contents that are looked at


def hold(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> Document | None:
    """A document that waits. Until the transaction ends nothing of it moves, and no older version of it.

    None when it doesn't wait, or is gone. Its collection is held already: who deletes that waits for us.
    """
    query = select(Document).where(Document.tenant_id == tenant_id, Document.id == document_id)
    query = query.where(Document.status == "pending").execution_options(populate_existing=True)
    document = session.scalars(query).one_or_none()
    if document is None:
        return None
    if (name := _name(document)) is not None:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
    # In the order in which all lock several documents.
    ours = or_(Document.id == document_id, _older(document))
    session.execute(
        select(Document.id).where(Document.tenant_id == tenant_id, ours).order_by(Document.id).with_for_update()
    )
    return session.scalars(query).one_or_none()


def newer(session: Session, document: Document) -> bool:
    """Whether a version that was accepted later is ready, or anything of a later version of its archive."""
    later = and_(_versions(document), Document.id > document.id)
    if document.archive_id is not None:
        later = or_(later, and_(_of_archives(document), Document.archive_id > document.archive_id))
    query = select(Document.id).where(later, Document.status == "ready")
    if document.external_id is None:
        query = query.where(Document.replaces)
    return session.scalar(query.limit(1)) is not None


def remove_older(session: Session, document: Document) -> None:
    """Deletes the versions that were accepted earlier, whatever became of them."""
    session.execute(delete(Document).where(_older(document)), execution_options={"synchronize_session": False})


def waited_for(
    session: Session, tenant_id: uuid.UUID, document_ids: Collection[uuid.UUID]
) -> Sequence[uuid.UUID | None]:
    """The jobs that versions of these documents wait for which were accepted earlier."""
    query = _accepted_earlier(select(Document.job_id), tenant_id, document_ids)
    return session.scalars(query.where(Document.status == "pending").distinct()).all()


def remove_failed(
    session: Session, tenant_id: uuid.UUID, document_ids: Collection[uuid.UUID], ended: Collection[uuid.UUID]
) -> None:
    """Deletes the versions of these documents that were accepted earlier and have failed, or wait for a job that has
    `ended`.

    Those that somebody else deletes or replaces at this moment are left to them: nothing is waited for.
    """
    waits_in_vain = and_(Document.status == "pending", Document.job_id.in_(ended))
    query = _accepted_earlier(select(Document.id), tenant_id, document_ids)
    query = query.where(or_(Document.status == "failed", waits_in_vain))
    old = session.scalars(query.with_for_update(of=Document, skip_locked=True)).all()
    if old:
        statement = delete(Document).where(Document.tenant_id == tenant_id, Document.id.in_(old))
        session.execute(statement, execution_options={"synchronize_session": False})


def remove_left_over(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> None:
    """Deletes what earlier versions of the archives that the job brought had, and these haven't any more; and those
    versions themselves, where they were never unpacked.

    Nothing for an archive of which nothing is ready.
    """
    own = (Document.tenant_id == tenant_id, Document.job_id == job_id, Document.archive_id.is_not(None))
    query = select(Document).where(*own, Document.status == "ready").ext(distinct_on(Document.archive_id))
    for member in session.scalars(query.order_by(Document.archive_id)).all():
        if member.external_id is None and not member.replaces:
            continue
        name = Document.filename if member.external_id is None else Document.external_id
        kept = select(name).where(Document.tenant_id == tenant_id, Document.archive_id == member.archive_id)
        left_over = and_(_of_archives(member), Document.archive_id < member.archive_id, name.not_in(kept))
        earlier = or_(left_over, _unpacked_never(member))
        # In the order in which all lock several documents.
        found = session.scalars(select(Document.id).where(earlier).order_by(Document.id).with_for_update()).all()
        gone = delete(Document).where(Document.tenant_id == tenant_id, Document.id.in_(found))
        session.execute(gone, execution_options={"synchronize_session": False})


def sources(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> list[uuid.UUID]:
    """A few documents, the newest first, that may have chunks which are this one's too: versions, and equal ones."""
    document = session.get(Document, document_id, populate_existing=True)
    if document is None or document.tenant_id != tenant_id:
        return []
    alike = [_versions(document)]
    if document.digest is not None:
        alike.append(Document.digest == document.digest)
    query = select(Document.id).where(
        Document.tenant_id == tenant_id,
        Document.collection_id == document.collection_id,
        Document.id != document_id,
        Document.chunks.is_not(None),
        or_(*alike),
    )
    return list(session.scalars(query.order_by(Document.id.desc()).limit(_SOURCES)))


def vectors(
    session: Session, home: Home, document_ids: Collection[uuid.UUID], digests: Collection[bytes]
) -> dict[bytes, Any]:
    """The vectors of chunks of these documents of the collection, by the digests of what was embedded."""
    vector = own_vector(home.second)
    query = select(Chunk.digest, vector).where(Chunk.tenant_id == home.tenant_id, vector.is_not(None))
    query = query.where(Chunk.document_id.in_(document_ids), Chunk.digest.in_(digests))
    return {row[0]: row[1] for row in session.execute(query)}


def firsts(session: Session, tenant_id: uuid.UUID, documents: Sequence[Document]) -> dict[uuid.UUID, uuid.UUID]:
    """Of each of the documents that has the contents of an older one, which isn't a version of it, the oldest such."""
    asked = {(document.collection_id, document.digest) for document in documents if document.digest is not None}
    contents = (Document.collection_id, Document.digest)
    place = func.row_number().over(partition_by=contents, order_by=Document.id).label("place")
    query = select(Document.id, *contents, Document.external_id, Document.filename, place)
    query = query.where(Document.tenant_id == tenant_id, Document.status != "failed", tuple_(*contents).in_(asked))
    placed = query.subquery()
    few = select(placed).where(placed.c.place <= _OLDEST).order_by(placed.c.id)
    rows = session.execute(few).all() if asked else []
    found: dict[uuid.UUID, uuid.UUID] = {}
    for document in documents:
        first = next((row.id for row in rows if _equal(document, row)), None)
        if first is not None and first < document.id:
            found[document.id] = first
    return found


def _equal(document: Document, other: Row[Any]) -> bool:
    """Whether the other has the document's contents, and isn't a version of it."""
    same = (document.collection_id, document.digest) == (other.collection_id, other.digest)
    if document.external_id is not None:
        return same and document.external_id != other.external_id
    version = document.replaces and other.external_id is None and document.filename == other.filename
    return same and not version


def _name(document: Document) -> str | None:
    """What all versions of a document have in common, None where there can't be any."""
    if document.external_id is not None:
        return f"{document.collection_id} external {document.external_id}"
    return f"{document.collection_id} file {document.filename}" if document.filename is not None else None


def _of_archives(document: Document) -> ColumnElement[bool]:
    """What came in the document's archive, and in its versions."""
    named = Document.external_id.is_(None) if document.external_id is None else Document.external_id.is_not(None)
    own = and_(Document.tenant_id == document.tenant_id, Document.collection_id == document.collection_id)
    return and_(own, Document.archive == document.archive, named)


def _unpacked_never(member: Document) -> ColumnElement[bool]:
    """The versions of the member's archive that were accepted earlier and are whole still: failed, or given up."""
    own = and_(Document.tenant_id == member.tenant_id, Document.collection_id == member.collection_id)
    whole = and_(own, Document.archive_id.is_(None), Document.id < member.archive_id)
    if member.external_id is not None:
        return and_(whole, Document.external_id == member.archive)
    return and_(whole, Document.external_id.is_(None), Document.filename == member.archive)


def _accepted_earlier(query: Select[Any], tenant_id: uuid.UUID, document_ids: Collection[uuid.UUID]) -> Select[Any]:
    """The versions of these documents that were accepted before them."""
    new = aliased(Document)
    named = new.external_id == Document.external_id
    alike = and_(new.replaces, new.external_id.is_(None), Document.external_id.is_(None))
    query = query.join(new, and_(new.collection_id == Document.collection_id, new.id > Document.id))
    query = query.where(new.tenant_id == tenant_id, new.id.in_(document_ids), Document.tenant_id == tenant_id)
    return query.where(or_(named, and_(alike, new.filename == Document.filename)))


def _older(document: Document) -> ColumnElement[bool]:
    """The versions that it replaces."""
    if document.external_id is None and not document.replaces:
        return false()
    return and_(_versions(document), Document.id < document.id)


def _versions(document: Document) -> ColumnElement[bool]:
    """Itself and the versions of it; none where there can't be any."""
    own = and_(Document.tenant_id == document.tenant_id, Document.collection_id == document.collection_id)
    if document.external_id is not None:
        return and_(own, Document.external_id == document.external_id)
    if document.filename is None:
        return false()
    return and_(own, Document.external_id.is_(None), Document.filename == document.filename)
