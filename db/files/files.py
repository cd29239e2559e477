"""Files: what each is called, what it is for, and how long it is kept. Its bytes are in its parts."""

import datetime as dt
import uuid
from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    ForeignKey,
    Index,
    Select,
    Text,
    UniqueConstraint,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table


class File(Table):
    """Its row is there once all its bytes are kept, and gone before the first of them is erased.

    Behind the second wall: its functions are called within `scope.scope` of the tenant they name.
    """

    __tablename__ = "files"
    __table_args__ = (
        UniqueConstraint("id", "tenant_id"),  # what the references of its parts are to
        Index("files_listed", "tenant_id", "id"),  # `page`
        Index(
            "files_expiring", "expires_at", "tenant_id", postgresql_where=text("expires_at IS NOT NULL")
        ),  # `expired`, `due`
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    filename: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))


def add(session: Session, file: File, kept_s: int | None) -> None:
    """Notes the file, which expires so many seconds after now; its times are set by PostgreSQL's clock."""
    age = None if kept_s is None else dt.timedelta(seconds=kept_s)
    file.expires_at = None if age is None else func.now() + age
    session.add(file)
    session.flush()
    session.refresh(file)


def find(session: Session, tenant_id: uuid.UUID, file_id: uuid.UUID, *, lock: bool = False) -> File | None:
    """The tenant's file, unless it has expired."""
    query = select(File).where(File.id == file_id, File.tenant_id == tenant_id, _lives())
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def page(
    session: Session,
    tenant_id: uuid.UUID,
    *,
    limit: int,
    after: uuid.UUID | None = None,
    purpose: str | None = None,
    newest_first: bool = True,
) -> Sequence[File]:
    """The tenant's files that haven't expired, at most `limit`, in the order in which they were made."""
    wanted = [File.tenant_id == tenant_id, _lives()]
    if after is not None:
        wanted.append(File.id < after if newest_first else File.id > after)
    if purpose is not None:
        wanted.append(File.purpose == purpose)
    order = File.id.desc() if newest_first else File.id.asc()
    return session.scalars(select(File).where(*wanted).order_by(order).limit(limit)).all()


def expired(session: Session, tenant_id: uuid.UUID, limit: int) -> Sequence[uuid.UUID]:
    """Files of the tenant that have expired, the longest ago first; none that another transaction holds."""
    query = select(File.id).where(File.tenant_id == tenant_id, File.expires_at <= func.now())
    return session.scalars(query.order_by(File.expires_at).limit(limit).with_for_update(skip_locked=True)).all()


def due() -> Select[uuid.UUID]:
    """The tenants that have files for `expired`: in the scope of who sees all tenants' rows."""
    return select(File.tenant_id).where(File.expires_at <= func.now())


def some(session: Session, tenant_id: uuid.UUID, limit: int) -> Sequence[uuid.UUID]:
    """Files of the tenant, whichever, locked; none that another transaction holds."""
    return session.scalars(
        select(File.id).where(File.tenant_id == tenant_id).limit(limit).with_for_update(skip_locked=True)
    ).all()


def end(session: Session, tenant_id: uuid.UUID, file_ids: Sequence[uuid.UUID]) -> None:
    """Has these files expire now: nobody finds them any more."""
    own = update(File).where(File.tenant_id == tenant_id, File.id.in_(file_ids)).values(expires_at=func.now())
    session.execute(own, execution_options={"synchronize_session": False})


def remove(session: Session, tenant_id: uuid.UUID, file_ids: Sequence[uuid.UUID]) -> None:
    """Deletes the rows of these files, from which their parts must have been taken. Idempotent."""
    own = delete(File).where(File.tenant_id == tenant_id, File.id.in_(file_ids))
    session.execute(own, execution_options={"synchronize_session": False})


def _lives() -> ColumnElement[bool]:
    return or_(File.expires_at.is_(None), File.expires_at > func.now())
