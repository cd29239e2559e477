"""Keys: credentials of a tenant, kept as keyed hashes."""

import datetime as dt
import uuid

from sqlalchemy import ColumnElement, DateTime, ForeignKey, LargeBinary, Text, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table
from db.tenants import Tenant, is_suspended


class Key(Table):
    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"), index=True)
    name: Mapped[str] = mapped_column(Text)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    revoked_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))


def live(session: Session, key_id: str) -> Key | None:
    """The key with this id, unless it is revoked or its tenant is suspended."""
    good = (Key.id == key_id, Key.revoked_at.is_(None), ~is_suspended(Key.tenant_id))
    return session.scalars(select(Key).where(*good)).one_or_none()


def secret_hash(session: Session, key_id: str) -> bytes | None:
    """What proves the key with this id, revoked or not; None when there is none."""
    return session.scalar(select(Key.secret_hash).where(Key.id == key_id))


def with_tenants(session: Session) -> list[tuple[Key, str]]:
    """Every key with its tenant's name, oldest first."""
    rows = session.execute(select(Key, Tenant.name).join(Tenant, Tenant.id == Key.tenant_id).order_by(Key.created_at))
    return [(key, name) for key, name in rows]


def revoked_since(seconds: float) -> ColumnElement[bool]:
    """The condition that a key was revoked so long ago."""
    return Key.revoked_at < func.now() - dt.timedelta(seconds=seconds)


def forget_revoked(session: Session, seconds: float) -> None:
    """Forgets keys that were revoked so long ago. The ledger goes on naming them."""
    session.execute(delete(Key).where(revoked_since(seconds)), execution_options={"synchronize_session": False})
