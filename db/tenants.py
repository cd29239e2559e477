"""Tenants: each key, job and document is one tenant's."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Text, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table


class Tenant(Table):
    """One with `suspended_at` is let in no more, none of its jobs starts, and what it has is being erased. It is done
    at `erased_at`: its row stays, for the ledger names it, under a name that says so."""

    __tablename__ = "tenants"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    suspended_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    erased_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))


def named(session: Session, name: str, new_id: uuid.UUID) -> Tenant:
    """The tenant called `name`, made with `new_id` when there is none. Idempotent, safe beside itself."""
    session.execute(insert(Tenant).values(id=new_id, name=name).on_conflict_do_nothing(index_elements=["name"]))
    return session.scalars(select(Tenant).where(Tenant.name == name)).one()


def names(session: Session) -> dict[uuid.UUID, str]:
    """Of all tenants."""
    return {tenant.id: tenant.name for tenant in session.scalars(select(Tenant))}


def some(session: Session, limit: int) -> list[uuid.UUID]:
    """Tenants, at most so many, drawn by lot."""
    return list(session.scalars(select(Tenant.id).order_by(func.random()).limit(limit)))


def is_suspended(tenant_id: Any) -> ColumnElement[bool]:
    """The condition that the tenant is suspended whose id this column has."""
    return exists().where(Tenant.id == tenant_id, Tenant.suspended_at.is_not(None)).correlate(tenant_id.class_)


def suspend(session: Session, name: str) -> uuid.UUID | None:
    """Suspends the tenant, from the commit on; its id, None where there is none of the name. Idempotent."""
    values = {"suspended_at": func.coalesce(Tenant.suspended_at, func.now())}
    return session.scalar(update(Tenant).where(Tenant.name == name).values(**values).returning(Tenant.id))


def note_erased(session: Session, tenant_id: uuid.UUID) -> str:
    """Notes that nothing of the tenant is left but what it used; the name it has from now on, which says when.

    Idempotent.
    """
    moment = func.to_char(func.timezone("UTC", func.now()), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    values = {"erased_at": func.now(), "name": func.concat(Tenant.name, " (erased ", moment, ")")}
    session.execute(update(Tenant).where(Tenant.id == tenant_id, Tenant.erased_at.is_(None)).values(**values))
    return session.scalars(select(Tenant.name).where(Tenant.id == tenant_id)).one()


def some_suspended(session: Session, limit: int) -> list[uuid.UUID]:
    """Tenants that are suspended, at most so many: those that aren't erased yet, then others, drawn by lot."""
    suspended = select(Tenant.id).where(Tenant.suspended_at.is_not(None))
    return list(session.scalars(suspended.order_by(Tenant.erased_at.is_not(None), func.random()).limit(limit)))


def is_erased(session: Session, tenant_id: uuid.UUID) -> bool:
    """Whether it is noted that nothing of the tenant is left but what it used."""
    return bool(session.scalar(select(Tenant.erased_at.is_not(None)).where(Tenant.id == tenant_id)))
