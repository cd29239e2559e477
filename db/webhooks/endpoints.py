"""Endpoints: where tenants want to be told of their jobs' ends."""

import datetime as dt
import uuid
from collections.abc import Sequence
from functools import cache

from sqlalchemy import (
    ARRAY,
    Boolean,
    DateTime,
    ForeignKey,
    Index,
    Select,
    Text,
    UniqueConstraint,
    any_,
    bindparam,
    func,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table
from db.tenants import Tenant
from db.webhooks import secrets


class Endpoint(Table):
    """A URL of a tenant's, and the types of events that are sent there.

    One with `deleted_at` is disabled and hidden; its row is deleted once its deliveries are.
    """

    __tablename__ = "webhook_endpoints"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    description: Mapped[str | None] = mapped_column(Text)
    disabled: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    deleted_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        UniqueConstraint("id", "tenant_id", name="webhook_endpoints_and_tenant"),
        Index("webhook_endpoints_of_tenant", "tenant_id", "id"),
    )


SEEN = Endpoint.deleted_at.is_(None)  # no deleted one is shown, counted or changed


def lock_tenant(session: Session, tenant_id: uuid.UUID) -> None:
    """Lets one transaction at a time add endpoints or rotate secrets of the tenant. Jobs don't wait for it."""
    session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True))


def count(session: Session, tenant_id: uuid.UUID) -> int:
    """How many endpoints the tenant has."""
    return session.scalar(select(func.count()).where(Endpoint.tenant_id == tenant_id, SEEN)) or 0


def find(
    session: Session, tenant_id: uuid.UUID, endpoint_id: uuid.UUID, *, for_update: bool = False
) -> Endpoint | None:
    """The tenant's endpoint, locked if it is to be changed."""
    query = select(Endpoint).where(Endpoint.id == endpoint_id, Endpoint.tenant_id == tenant_id, SEEN)
    if for_update:
        query = query.with_for_update(key_share=True)
    return session.scalars(query, execution_options={"populate_existing": True}).one_or_none()


def listed(session: Session, tenant_id: uuid.UUID) -> Sequence[Endpoint]:
    """The tenant's endpoints, oldest first."""
    query = select(Endpoint).where(Endpoint.tenant_id == tenant_id, SEEN)
    return session.scalars(query.order_by(Endpoint.id)).all()


def listening(session: Session, tenant_id: uuid.UUID, type: str) -> Sequence[uuid.UUID]:
    """The tenant's endpoints to which this type of event goes; none can be removed until the transaction ends."""
    return session.scalars(_listening(), {"tenant_id": tenant_id, "type": type}).all()


@cache
def _listening() -> Select[uuid.UUID]:
    """Built once: it runs with every end of a job."""
    wants = bindparam("type", type_=Text) == any_(Endpoint.events)
    query = select(Endpoint.id).where(Endpoint.tenant_id == bindparam("tenant_id"), ~Endpoint.disabled, wants)
    return query.with_for_update(read=True, key_share=True)


def remove(session: Session, tenant_id: uuid.UUID, endpoint_id: uuid.UUID) -> bool:
    """Deletes the endpoint's secrets, and takes it out of sight with its deliveries. False when there is none.

    `deliveries.remove_deleted_endpoints` does the rest: a busy endpoint has more deliveries than one statement could
    delete in its time.
    """
    where = (Endpoint.id == endpoint_id, Endpoint.tenant_id == tenant_id, SEEN)
    statement = update(Endpoint).where(*where).values(deleted_at=func.now(), disabled=True).returning(Endpoint.id)
    if session.scalar(statement, execution_options={"synchronize_session": False}) is None:
        return False
    secrets.remove(session, tenant_id, endpoint_id, but=())
    return True


def disable(session: Session, tenant_id: uuid.UUID, endpoint_id: uuid.UUID, url: str) -> None:
    """Disables the endpoint if this is still its URL. Its pending deliveries fail when their turn comes."""
    where = (Endpoint.id == endpoint_id, Endpoint.tenant_id == tenant_id, Endpoint.url == url)
    session.execute(update(Endpoint).where(*where).values(disabled=True))
