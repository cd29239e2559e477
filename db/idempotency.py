"""Idempotency keys: what a client called a request by, what it asked, and the job or the file that came of it."""

import datetime as dt
import uuid

from sqlalchemy import ColumnElement, DateTime, ForeignKey, Index, LargeBinary, Text, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table

_FORGET_AT_ONCE = 1000


class IdempotencyKey(Table):
    """`job_id` is None only within the transaction that makes the job. It is a file's id where that was asked for."""

    __tablename__ = "idempotency_keys"

    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    job_id: Mapped[uuid.UUID | None]
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    __table_args__ = (
        Index("idempotency_keys_by_age", "created_at"),
        Index("idempotency_keys_of_job", "job_id"),  # `removing`
    )


def reserve(session: Session, tenant_id: uuid.UUID, key: str, fingerprint: bytes) -> bool:
    """Takes the key for this transaction; False when it is taken. Waits for another transaction that is taking it."""
    statement = insert(IdempotencyKey).values(tenant_id=tenant_id, key=key, fingerprint=fingerprint)
    statement = statement.on_conflict_do_nothing(index_elements=["tenant_id", "key"])
    return session.scalar(statement.returning(IdempotencyKey.key)) is not None


def bind(session: Session, tenant_id: uuid.UUID, key: str, job_id: uuid.UUID) -> None:
    """Names the job that came of a key taken in this transaction."""
    where = (IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.key == key)
    statement = update(IdempotencyKey).where(*where).values(job_id=job_id)
    session.execute(statement, execution_options={"synchronize_session": False})


def find(session: Session, tenant_id: uuid.UUID, key: str) -> tuple[bytes, uuid.UUID] | None:
    """The fingerprint and the job of a key that was taken, as far as it isn't forgotten."""
    where = (IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.key == key)
    row = session.execute(select(IdempotencyKey.fingerprint, IdempotencyKey.job_id).where(*where)).one_or_none()
    return (row.fingerprint, row.job_id) if row and row.job_id else None


def forget(session: Session, tenant_id: uuid.UUID, key: str) -> None:
    """Forgets a key."""
    where = (IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.key == key)
    session.execute(delete(IdempotencyKey).where(*where), execution_options={"synchronize_session": False})


def forget_older_than(session: Session, age_s: float) -> None:
    """Forgets keys of that age, so many at once as don't keep anybody waiting."""
    some = select(IdempotencyKey.tenant_id, IdempotencyKey.key).where(older_than(age_s)).limit(_FORGET_AT_ONCE)
    pair = (IdempotencyKey.tenant_id, IdempotencyKey.key)
    session.execute(
        delete(IdempotencyKey).where(func.row(*pair).in_(some)), execution_options={"synchronize_session": False}
    )


def older_than(age_s: float) -> ColumnElement[bool]:
    """The condition that a key is of that age."""
    return IdempotencyKey.created_at < func.now() - dt.timedelta(seconds=age_s)
