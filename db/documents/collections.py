"""Collections: named sets of documents, each embedded by one model.

Each function is called within `scope.scope` of the tenant it names.
"""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import (
    REAL,
    Boolean,
    ColumnElement,
    DateTime,
    ForeignKey,
    Integer,
    Text,
    UniqueConstraint,
    delete,
    false,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table


class Collection(Table):
    """A named set of documents, all embedded by one model. `dimensions` are known with the first vectors.

    `language` is whose words are stemmed. `chunk_tokens` and `chunk_overlap` say how documents are cut; None takes what
    is usual. `unread` is the share of what it was brought lately, 0 to 1, that the model can't read.
    """

    __tablename__ = "collections"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    dimensions: Mapped[int | None] = mapped_column(Integer)
    language: Mapped[str | None] = mapped_column(Text)
    chunk_tokens: Mapped[int | None] = mapped_column(Integer)
    chunk_overlap: Mapped[int | None] = mapped_column(Integer)
    counted: Mapped[int | None] = mapped_column(Integer)
    second: Mapped[bool] = mapped_column(Boolean, server_default=false())
    unread: Mapped[float | None] = mapped_column(REAL)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="collections_name"),
        UniqueConstraint("id", "tenant_id", name="collections_of_tenant"),
    )


def find(session: Session, tenant_id: uuid.UUID, name: str, *, keep: bool = False) -> Collection | None:
    """The tenant's collection of this name; `keep` holds off its deletion until the transaction ends."""
    return _one(session, keep, Collection.tenant_id == tenant_id, Collection.name == name)


def get(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, *, keep: bool = False) -> Collection | None:
    """The tenant's collection with this id; `keep` as in `find`."""
    return _one(session, keep, Collection.tenant_id == tenant_id, Collection.id == collection_id)


def add(session: Session, **values: Any) -> None:
    """Makes the collection unless the tenant has one of this name. Safe beside itself."""
    statement = insert(Collection).values(**values)
    session.execute(statement.on_conflict_do_nothing(index_elements=["tenant_id", "name"]))


def fix_dimensions(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, dimensions: int) -> int | None:
    """The collection's dimensions, which the first vectors decide. None when it is gone."""
    where = (Collection.id == collection_id, Collection.tenant_id == tenant_id)
    session.execute(
        update(Collection).where(*where, Collection.dimensions.is_(None)).values(dimensions=dimensions),
        execution_options={"synchronize_session": False},
    )
    return session.scalar(select(Collection.dimensions).where(*where))


def set_counted(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, chunks: int) -> None:
    """Notes how many chunks the collection had when its words were counted."""
    where = (Collection.id == collection_id, Collection.tenant_id == tenant_id)
    statement = update(Collection).where(*where).values(counted=chunks)
    session.execute(statement, execution_options={"synchronize_session": False})


def remove(session: Session, tenant_id: uuid.UUID, name: str) -> bool:
    """Deletes the collection with all that is in it. False when there is none."""
    statement = delete(Collection).where(Collection.tenant_id == tenant_id, Collection.name == name)
    return session.scalar(statement.returning(Collection.id)) is not None


def _one(session: Session, keep: bool, *which: ColumnElement[bool]) -> Collection | None:
    query = select(Collection).where(*which)
    if keep:
        query = query.with_for_update(read=True, key_share=True)
    return session.scalars(query, execution_options={"populate_existing": True}).one_or_none()
