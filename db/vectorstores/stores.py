"""Vector stores: what is said of a collection that kept files are attached to.

Each function is called within `scope.scope` of the tenant it names.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Row,
    Select,
    Text,
    and_,
    delete,
    false,
    func,
    not_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from db import once
from db.documents.documents import Document
from db.session import Table
from db.vectorstores import pages
from db.vectorstores.pages import Page

Found = Row["VectorStore", bool]  # and whether it has expired

_ACTIVE_S = 60  # that a store is used is written down so often at most


class VectorStore(Table):
    """Its id is its collection's, with which it goes. It expires so many days after it was last used, and is `emptied`
    some time after that."""

    __tablename__ = "vector_stores"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[dict[str, str]] = mapped_column("metadata", JSONB, server_default=text("'{}'"))
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    last_active_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_days: Mapped[int | None] = mapped_column(Integer)
    expires_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    emptied: Mapped[bool] = mapped_column(Boolean, server_default=false())

    __table_args__ = (
        ForeignKeyConstraint(["id", "tenant_id"], ["collections.id", "collections.tenant_id"], ondelete="CASCADE"),
        Index("vector_stores_listed", "tenant_id", "id"),  # `page`
        Index(
            "vector_stores_expiring",
            "expires_at",
            "tenant_id",
            postgresql_where=and_(expires_at.is_not(None), not_(emptied)),
        ),  # `lapsed`, `due`
    )


def add(session: Session, store: VectorStore) -> None:
    """Notes a store whose collection is there; its times are set by PostgreSQL's clock."""
    store.expires_at = _ends(store.expires_days)
    session.add(store)
    session.flush()


def find(
    session: Session, tenant_id: uuid.UUID, store_id: uuid.UUID, to: Literal["keep", "change", "end"] | None = None
) -> Found | None:
    """The tenant's store; to `keep` it holds off who comes to `end` it until the transaction ends, and to `change` it
    both him and others who change it.

    Who keeps it has kept its collection before: so does who deletes them both.
    """
    query = _found().where(VectorStore.tenant_id == tenant_id, VectorStore.id == store_id)
    if to is not None:
        query = query.with_for_update(read=to == "keep", key_share=to != "end", of=VectorStore)
    return session.execute(query, execution_options={"populate_existing": True}).one_or_none()


def expired(session: Session, tenant_id: uuid.UUID, store_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, bool]:
    """Whether each of these stores that is there has expired."""
    query = select(VectorStore.id, func.coalesce(_expired(), false()))
    rows = session.execute(query.where(VectorStore.tenant_id == tenant_id, VectorStore.id.in_(store_ids)))
    return {row[0]: row[1] for row in rows}


def page(session: Session, tenant_id: uuid.UUID, wanted: Page) -> Sequence[Found]:
    """The tenant's stores in the order in which they were made."""
    query = _found().where(VectorStore.tenant_id == tenant_id)
    return pages.read(session, query, VectorStore.id, wanted)


def change(session: Session, tenant_id: uuid.UUID, store_id: uuid.UUID, **values: Any) -> None:
    """Sets columns of the store. Where `expires_days` is one of them, that is a use, from which they are counted: no
    change can have it expire at once."""
    if "expires_days" in values:
        values |= {"expires_at": _ends(values["expires_days"]), "last_active_at": func.now()}
    where = (VectorStore.tenant_id == tenant_id, VectorStore.id == store_id)
    session.execute(update(VectorStore).where(*where).values(**values), execution_options=_AS_IT_IS)


def expire(session: Session, tenant_id: uuid.UUID, store_id: uuid.UUID) -> None:
    """Has the store expire now."""
    change(session, tenant_id, store_id, expires_at=func.now())


def used(session: Session, tenant_id: uuid.UUID, store_ids: Sequence[uuid.UUID]) -> None:
    """Notes that the stores are used now, unless that is known to the minute, or one has expired."""
    now, long_ago = func.now(), func.now() - dt.timedelta(seconds=_ACTIVE_S)
    own = (VectorStore.tenant_id == tenant_id, VectorStore.id.in_(store_ids))
    alive = func.coalesce(VectorStore.expires_at > now, text("true"))
    ends = now + func.make_interval(0, 0, 0, VectorStore.expires_days)
    drawn = select(VectorStore.id).where(*own, VectorStore.last_active_at < long_ago, alive)
    drawn = drawn.order_by(VectorStore.id).with_for_update(skip_locked=True, key_share=True)
    changed = update(VectorStore).where(once.among(VectorStore.id, drawn)).values(last_active_at=now, expires_at=ends)
    session.execute(changed, execution_options=_AS_IT_IS)


def lapsed(session: Session, tenant_id: uuid.UUID) -> uuid.UUID | None:
    """A store that has expired and isn't empty yet, as far as is known; none that another transaction holds."""
    query = select(VectorStore.id).where(VectorStore.tenant_id == tenant_id, not_(VectorStore.emptied), _expired())
    return session.scalar(query.order_by(VectorStore.expires_at).limit(1).with_for_update(skip_locked=True))


def due() -> Select[uuid.UUID]:
    """The tenants that have stores for `lapsed`: in the scope of who sees all tenants' rows."""
    return select(VectorStore.tenant_id).where(not_(VectorStore.emptied), _expired())


def emptied(session: Session, tenant_id: uuid.UUID, store_id: uuid.UUID) -> bool:
    """Notes that nothing is in the store any more, and whether that is so: it isn't while another transaction holds a
    document that `empty` left."""
    left = select(Document.id).where(Document.tenant_id == tenant_id, Document.collection_id == store_id)
    own = (VectorStore.tenant_id == tenant_id, VectorStore.id == store_id, not_(left.exists()))
    noted = update(VectorStore).where(*own).values(emptied=True).returning(VectorStore.id)
    return session.scalars(noted, execution_options=_AS_IT_IS).one_or_none() is not None


def empty(session: Session, tenant_id: uuid.UUID, store_id: uuid.UUID, at_once: int) -> int:
    """Deletes some of the store's documents, none that another transaction holds; how many."""
    own = (Document.tenant_id == tenant_id, Document.collection_id == store_id)
    # First drawn, then deleted: within the deletion PostgreSQL may draw anew for each row, and so delete all.
    query = select(Document.id).where(*own).order_by(Document.id).limit(at_once).with_for_update(skip_locked=True)
    some = session.scalars(query).all()
    gone = delete(Document).where(Document.tenant_id == tenant_id, Document.id.in_(some))
    if some:
        session.execute(gone, execution_options=_AS_IT_IS)
    return len(some)


_AS_IT_IS = {"synchronize_session": False}


def _found() -> Select[VectorStore, bool]:
    return select(VectorStore, func.coalesce(_expired(), false()))


def _expired() -> ColumnElement[bool]:
    return VectorStore.expires_at <= func.now()


def _ends(days: int | None) -> Any:
    return None if days is None else func.now() + dt.timedelta(days=days)
