"""Uploads: files that come in parts."""

import datetime as dt
import uuid
from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Select,
    Text,
    UniqueConstraint,
    case,
    delete,
    func,
    literal_column,
    select,
    text,
    union,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table

_QUIET = {"synchronize_session": False}


class Upload(Table):
    """A file to be: how many `bytes` it will have, and after how many seconds it expires once it is there.

    Behind the second wall: its functions are called within `scope.scope` of the tenant they name.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        UniqueConstraint("id", "tenant_id"),
        Index("uploads_expiring", "expires_at", "tenant_id", postgresql_where=text("status = 'pending'")),  # `late`
        Index("uploads_ended", "expires_at", "tenant_id", postgresql_where=text("status <> 'pending'")),  # `ended`
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    filename: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text)
    mime_type: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int] = mapped_column(BigInteger)
    kept_s: Mapped[int | None] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    file_id: Mapped[uuid.UUID | None]


def add(session: Session, upload: Upload, lives_s: int) -> None:
    """Notes the upload, which may be completed for so many seconds."""
    upload.expires_at = func.now() + dt.timedelta(seconds=lives_s)
    session.add(upload)
    session.flush()
    session.refresh(upload)


def find(
    session: Session, tenant_id: uuid.UUID, upload_id: uuid.UUID, *, lock: bool = False
) -> tuple[Upload, str] | None:
    """The tenant's upload, and its status now: one that is pending for too long has expired."""
    late = (Upload.status == "pending") & (Upload.expires_at <= func.now())
    query = select(Upload, case((late, "expired"), else_=Upload.status))
    query = query.where(Upload.id == upload_id, Upload.tenant_id == tenant_id)
    row = session.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else (row[0], row[1])


def late(session: Session, tenant_id: uuid.UUID, limit: int) -> Sequence[uuid.UUID]:
    """Pending uploads of the tenant that have expired, locked; none that another transaction holds."""
    query = select(Upload.id).where(Upload.tenant_id == tenant_id, *_late()).order_by(Upload.expires_at).limit(limit)
    return session.scalars(query.with_for_update(skip_locked=True)).all()


def end(session: Session, tenant_id: uuid.UUID, upload_ids: Sequence[uuid.UUID], status: str) -> None:
    ended = update(Upload).where(Upload.tenant_id == tenant_id, Upload.id.in_(upload_ids)).values(status=status)
    session.execute(ended, execution_options=_QUIET)


def ended(session: Session, tenant_id: uuid.UUID, age_s: float, limit: int) -> Sequence[uuid.UUID]:
    """Uploads of the tenant that have ended, and would have expired so long ago, locked; none that another transaction
    holds."""
    query = (
        select(Upload.id).where(Upload.tenant_id == tenant_id, *_ended(age_s)).order_by(Upload.expires_at).limit(limit)
    )
    return session.scalars(query.with_for_update(skip_locked=True)).all()


def due(age_s: float) -> Select[uuid.UUID]:
    """The tenants that have uploads for `late` or `ended`: in the scope of who sees all tenants' rows."""
    over = (select(Upload.tenant_id).where(*which) for which in (_late(), _ended(age_s)))
    return select(union(*over).subquery().c.tenant_id)


def some(session: Session, tenant_id: uuid.UUID, limit: int) -> Sequence[uuid.UUID]:
    """Uploads of the tenant, whichever, locked; none that another transaction holds."""
    return session.scalars(
        select(Upload.id).where(Upload.tenant_id == tenant_id).limit(limit).with_for_update(skip_locked=True)
    ).all()


def remove(session: Session, tenant_id: uuid.UUID, upload_ids: Sequence[uuid.UUID]) -> None:
    """Deletes the rows of these uploads, from which their parts must have been taken. Idempotent."""
    own = delete(Upload).where(Upload.tenant_id == tenant_id, Upload.id.in_(upload_ids))
    session.execute(own, execution_options=_QUIET)


def _late() -> tuple[ColumnElement[bool], ...]:
    return Upload.status == literal_column("'pending'"), Upload.expires_at <= func.now()


def _ended(age_s: float) -> tuple[ColumnElement[bool], ...]:
    """The status is written as in the index: of a parameter PostgreSQL can't know that it is the same."""
    return (
        Upload.status != literal_column("'pending'"),
        Upload.expires_at < func.now() - dt.timedelta(seconds=age_s),
    )
