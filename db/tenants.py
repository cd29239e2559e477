"""Tenants: each key, job and document is one tenant's."""

import datetime as dt
import uuid

from sqlalchemy import DateTime, Text, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table


class Tenant(Table):
    __tablename__ = "tenants"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


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
