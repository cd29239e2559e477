"""A collection's next vectors, made beside those that it has: each chunk has room for two, and the collection says in
which of them its model's are.

A document's chunks are embedded anew in the order of their numbers, so a count says which of them have been.

Each function is called within `scope.scope` of the tenant it names.
"""

import uuid
from collections.abc import Collection as Several
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    bindparam,
    delete,
    false,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.documents.chunks import Chunk, own_vector
from db.documents.collections import Collection
from db.documents.documents import Document
from db.session import Table

_QUIET = {"synchronize_session": False}


class Reembedding(Table):
    """What a collection's next model is, and which job sees to it. `dimensions` are known with its first vectors.

    Once it is `filled`, a large collection's next vectors get their index. Once it has `switched`, the collection is
    searched by the new vectors, and the old ones are being cleared. Of `seen` tokens the next model couldn't read
    `unread`, in all lots that were kept.
    """

    __tablename__ = "reembeddings"

    collection_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    job_id: Mapped[uuid.UUID]
    model: Mapped[str] = mapped_column(Text)
    dimensions: Mapped[int | None] = mapped_column(Integer)
    filled: Mapped[bool] = mapped_column(Boolean, server_default=false())
    switched: Mapped[bool] = mapped_column(Boolean, server_default=false())
    seen: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    unread: Mapped[float] = mapped_column(Double, server_default=text("0"))

    __table_args__ = (
        ForeignKeyConstraint(
            ["collection_id", "tenant_id"], ["collections.id", "collections.tenant_id"], ondelete="CASCADE"
        ),
    )


class Reembedded(Table):
    """How many of a document's chunks, from the first on, have a vector of the next model beside their own.

    Once the collection has switched: how many have one of the model before.
    """

    __tablename__ = "reembedded"

    document_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    collection_id: Mapped[uuid.UUID]
    chunks: Mapped[int] = mapped_column(Integer)

    __table_args__ = (
        ForeignKeyConstraint(["document_id", "tenant_id"], ["documents.id", "documents.tenant_id"], ondelete="CASCADE"),
        Index("reembedded_of_collection", "collection_id", "document_id"),
    )


@dataclass(frozen=True, slots=True)
class Waiting:
    """A chunk whose next vector is to be made: what is embedded is its context and its text."""

    document_id: uuid.UUID
    number: int
    context: str | None
    text: str
    digest: bytes | None


def begin(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, job_id: uuid.UUID, model: str) -> None:
    """Has the job see to the collection's next vectors. What another began for this model is taken over, and what it
    left to be cleared."""
    known = session.get(Reembedding, collection_id, populate_existing=True)
    if known is None or known.model != model:
        session.execute(delete(Reembedding).where(Reembedding.collection_id == collection_id), execution_options=_QUIET)
        own = (Reembedded.tenant_id == tenant_id, Reembedded.collection_id == collection_id)
        session.execute(delete(Reembedded).where(*own), execution_options=_QUIET)
        values = {"collection_id": collection_id, "tenant_id": tenant_id, "job_id": job_id, "model": model}
        session.execute(insert(Reembedding).values(**values))
    else:
        _set(session, tenant_id, collection_id, job_id=job_id)


def find(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID) -> Reembedding | None:
    query = select(Reembedding).where(Reembedding.tenant_id == tenant_id, Reembedding.collection_id == collection_id)
    return session.scalars(query, execution_options={"populate_existing": True}).one_or_none()


def done(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID) -> tuple[int, int]:
    """How many of the collection's chunks have the next model's vector, and how many there are."""
    made = select(func.coalesce(func.sum(Reembedded.chunks), 0))
    made = made.where(Reembedded.tenant_id == tenant_id, Reembedded.collection_id == collection_id)
    all_ = select(func.coalesce(func.sum(Document.chunks), 0))
    all_ = all_.where(Document.tenant_id == tenant_id, Document.collection_id == collection_id)
    row = session.execute(select(made.scalar_subquery(), all_.scalar_subquery())).one()
    return int(row[0]), int(row[1])


def lot(
    session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, *, after: uuid.UUID | None, most: int
) -> list[Waiting]:
    """At most so many chunks without a next vector, of documents from `after` on."""
    made = func.coalesce(Reembedded.chunks, 0)
    columns = (Chunk.document_id, Chunk.number, Chunk.context, Chunk.text, Chunk.digest)
    query = select(*columns).join(Document, Document.id == Chunk.document_id)
    query = query.outerjoin(Reembedded, Reembedded.document_id == Document.id)
    query = query.where(*_lacks(tenant_id, collection_id), Chunk.number >= made)
    if after is not None:
        query = query.where(Document.id >= after)
    rows = session.execute(query.order_by(Chunk.document_id, Chunk.number).limit(most))
    return [Waiting(*row) for row in rows]


def keep(
    session: Session, tenant_id: uuid.UUID, home: Collection, waiting: Sequence[Waiting], vectors: Sequence[Any]
) -> bool:
    """Stores the chunks' next vectors. False when a chunk isn't there any more as it was: then nothing is to be kept.

    Nobody deletes the documents or changes their chunks before the transaction ends.
    """
    document_ids = {one.document_id for one in waiting}
    if _hold(session, tenant_id, document_ids) < len(document_ids):
        return False
    where = (
        Chunk.tenant_id == tenant_id,
        Chunk.document_id == bindparam("of"),
        Chunk.number == bindparam("at"),
        Chunk.digest.is_not_distinct_from(bindparam("as", type_=LargeBinary)),
    )
    statement = (
        update(cast(Any, Chunk.__table__)).where(*where).values({_next(home).key: bindparam("vector", type_=VECTOR())})
    )
    rows = [
        {"of": one.document_id, "at": one.number, "as": one.digest, "vector": vector}
        for one, vector in zip(waiting, vectors, strict=True)
    ]
    if session.connection().execute(statement, rows).rowcount < len(rows):
        return False
    _count(session, tenant_id, home.id, waiting)
    return True


def lacking(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID) -> bool:
    """Whether any stored chunk of the collection has no next vector."""
    query = select(Document.id).outerjoin(Reembedded, Reembedded.document_id == Document.id)
    return session.scalar(query.where(*_lacks(tenant_id, collection_id)).limit(1)) is not None


def hold(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID) -> Collection | None:
    """The collection: until the transaction ends nobody stores chunks in it. None when it is gone."""
    query = select(Collection).where(Collection.tenant_id == tenant_id, Collection.id == collection_id)
    return session.scalars(query.with_for_update(), execution_options={"populate_existing": True}).one_or_none()


def switch(session: Session, tenant_id: uuid.UUID, home: Collection, model: str, dimensions: int | None) -> None:
    """Has the collection searched by its next vectors from now on."""
    values = {"model": model, "dimensions": dimensions, "second": not home.second}
    where = (Collection.tenant_id == tenant_id, Collection.id == home.id)
    session.execute(update(Collection).where(*where).values(**values), execution_options=_QUIET)
    _set(session, tenant_id, home.id, switched=True)


def clear(session: Session, tenant_id: uuid.UUID, home: Collection, *, most: int) -> bool:
    """Drops at most so many of the vectors that the collection had before it switched; False when there is none.

    Nobody deletes the documents before the transaction ends.
    """
    own = (Reembedded.tenant_id == tenant_id, Reembedded.collection_id == home.id)
    query = select(Reembedded.document_id, Reembedded.chunks).where(*own).order_by(Reembedded.document_id).limit(most)
    left, starts = most, dict[uuid.UUID, int]()
    for document_id, count in session.execute(query):
        if left <= 0:
            break
        starts[document_id] = max(0, count - left)
        left -= count
    _hold(session, tenant_id, starts)
    for document_id, start in starts.items():
        of = (Chunk.tenant_id == tenant_id, Chunk.document_id == document_id, Chunk.number >= start)
        session.execute(update(Chunk).where(*of).values({_next(home): None}), execution_options=_QUIET)
        if start:
            rest = update(Reembedded).where(*own, Reembedded.document_id == document_id).values(chunks=start)
            session.execute(rest, execution_options=_QUIET)
    _forget(session, tenant_id, [document_id for document_id, start in starts.items() if not start])
    return bool(starts)


def end(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID) -> None:
    """Nothing is left to be done for the collection's vectors."""
    where = (Reembedding.tenant_id == tenant_id, Reembedding.collection_id == collection_id)
    session.execute(delete(Reembedding).where(*where), execution_options=_QUIET)


def set_filled(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID) -> None:
    _set(session, tenant_id, collection_id, filled=True)


def set_dimensions(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, dimensions: int) -> None:
    _set(session, tenant_id, collection_id, dimensions=dimensions)


def count_unread(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, seen: int, unread: float) -> None:
    """Adds so many tokens to those that the next model has seen, and to those of them that it couldn't read."""
    added = {"seen": Reembedding.seen + seen, "unread": Reembedding.unread + unread}
    _set(session, tenant_id, collection_id, **added)


def forget(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> None:
    """The document's chunks are cut anew: none of them has a second vector."""
    _forget(session, tenant_id, [document_id])


def _hold(session: Session, tenant_id: uuid.UUID, document_ids: Several[uuid.UUID]) -> int:
    """Keeps the documents as they are until the transaction ends; how many of them there are.

    Before their chunks, and by their ids, as whoever deletes them does: else the two might wait for each other.
    """
    query = select(Document.id).where(Document.tenant_id == tenant_id, Document.id.in_(document_ids))
    return len(session.scalars(query.order_by(Document.id).with_for_update(read=True)).all())


def _forget(session: Session, tenant_id: uuid.UUID, document_ids: Several[uuid.UUID]) -> None:
    where = (Reembedded.tenant_id == tenant_id, Reembedded.document_id.in_(document_ids))
    session.execute(delete(Reembedded).where(*where), execution_options=_QUIET)


def _lacks(tenant_id: uuid.UUID, collection_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    """The condition on a document, beside which stands how much of it is done, that it has a chunk that isn't."""
    own = (Document.tenant_id == tenant_id, Document.collection_id == collection_id)
    return *own, Document.chunks > func.coalesce(Reembedded.chunks, 0)


def _count(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, waiting: Sequence[Waiting]) -> None:
    counts = {one.document_id: one.number + 1 for one in waiting}
    rows = [
        {"document_id": document_id, "tenant_id": tenant_id, "collection_id": collection_id, "chunks": count}
        for document_id, count in counts.items()
    ]
    statement = insert(Reembedded)
    more = statement.on_conflict_do_update(index_elements=["document_id"], set_={"chunks": statement.excluded.chunks})
    session.execute(more, rows)


def _next(home: Collection) -> Any:
    """The column that the collection isn't searched by."""
    return own_vector(not home.second)


def _set(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, **values: Any) -> None:
    where = (Reembedding.tenant_id == tenant_id, Reembedding.collection_id == collection_id)
    session.execute(update(Reembedding).where(*where).values(**values), execution_options=_QUIET)
