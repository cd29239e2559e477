"""Webhooks: where tenants want to be told of their jobs' ends, what signs it, and what is to be sent there."""

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    ColumnElement,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Row,
    SmallInteger,
    Text,
    UniqueConstraint,
    and_,
    any_,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table
from db.tenants import Tenant


class Endpoint(Table):
    """A URL of a tenant's, and the types of events that are sent there."""

    __tablename__ = "webhook_endpoints"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    description: Mapped[str | None] = mapped_column(Text)
    disabled: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    __table_args__ = (
        UniqueConstraint("id", "tenant_id", name="webhook_endpoints_and_tenant"),
        Index("webhook_endpoints_of_tenant", "tenant_id", "id"),
    )


class Secret(Table):
    """That a secret exists, of an endpoint's or, without one, of the tenant's own. Its text is not here."""

    __tablename__ = "webhook_secrets"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    endpoint_id: Mapped[uuid.UUID | None]
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        ForeignKeyConstraint(
            ["endpoint_id", "tenant_id"], ["webhook_endpoints.id", "webhook_endpoints.tenant_id"], ondelete="CASCADE"
        ),
        Index("webhook_secrets_of_owner", "tenant_id", "endpoint_id"),
    )


class Delivery(Table):
    """One message for one URL: the endpoint's, or the `url` that its job named.

    A pending one is due at `next_at`, unless an attempt holds it until `leased_until`; `attempts` fences: what carries
    an older number than the row's may not write any more.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    endpoint_id: Mapped[uuid.UUID | None]
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    message_id: Mapped[uuid.UUID]
    type: Mapped[str] = mapped_column(Text)
    url: Mapped[str | None] = mapped_column(Text)
    payload: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    next_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True), server_default=func.now())
    give_up_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    leased_until: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        ForeignKeyConstraint(
            ["endpoint_id", "tenant_id"], ["webhook_endpoints.id", "webhook_endpoints.tenant_id"], ondelete="CASCADE"
        ),
        CheckConstraint("status IN ('pending', 'delivered', 'failed')", name="webhook_deliveries_status"),
        CheckConstraint("(endpoint_id IS NULL) <> (url IS NULL)", name="webhook_deliveries_target"),
        Index("webhook_deliveries_of_tenant", "tenant_id", "id"),
        Index("webhook_deliveries_of_endpoint", "endpoint_id", "id"),
        Index("webhook_deliveries_of_job", "job_id"),
        Index("webhook_deliveries_due", "next_at", postgresql_where=status == "pending"),
    )


def lock_tenant(session: Session, tenant_id: uuid.UUID) -> None:
    """Makes who adds endpoints or rotates secrets of the tenant wait for the others who do. Jobs don't wait."""
    session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True))


def count(session: Session, tenant_id: uuid.UUID) -> int:
    """How many endpoints the tenant has."""
    return session.scalar(select(func.count()).where(Endpoint.tenant_id == tenant_id)) or 0


def endpoint(
    session: Session, tenant_id: uuid.UUID, endpoint_id: uuid.UUID, *, for_update: bool = False
) -> Endpoint | None:
    """The tenant's endpoint, locked if it is to be changed."""
    query = select(Endpoint).where(Endpoint.id == endpoint_id, Endpoint.tenant_id == tenant_id)
    if for_update:
        query = query.with_for_update(key_share=True)
    return session.scalars(query, execution_options={"populate_existing": True}).one_or_none()


def endpoints(session: Session, tenant_id: uuid.UUID) -> Sequence[Endpoint]:
    """The tenant's endpoints, oldest first."""
    return session.scalars(select(Endpoint).where(Endpoint.tenant_id == tenant_id).order_by(Endpoint.id)).all()


def listening(session: Session, tenant_id: uuid.UUID, type: str) -> Sequence[uuid.UUID]:
    """The tenant's endpoints to which this type of event goes; none can be deleted until the transaction ends."""
    where = (Endpoint.tenant_id == tenant_id, ~Endpoint.disabled, literal(type) == any_(Endpoint.events))
    return session.scalars(select(Endpoint.id).where(*where).with_for_update(read=True, key_share=True)).all()


def remove(session: Session, tenant_id: uuid.UUID, endpoint_id: uuid.UUID) -> bool:
    """Deletes the endpoint with its secrets and deliveries. False when there is none."""
    statement = delete(Endpoint).where(Endpoint.id == endpoint_id, Endpoint.tenant_id == tenant_id)
    return session.scalar(statement.returning(Endpoint.id)) is not None


def secrets(session: Session, tenant_id: uuid.UUID, endpoint_id: uuid.UUID | None) -> Sequence[Secret]:
    """The live secrets of an endpoint, or of the tenant's own, newest first."""
    live = or_(Secret.expires_at.is_(None), Secret.expires_at > func.now())
    where = (Secret.tenant_id == tenant_id, Secret.endpoint_id.is_not_distinct_from(endpoint_id), live)
    return session.scalars(select(Secret).where(*where).order_by(Secret.id.desc())).all()


def remove_secrets(
    session: Session, tenant_id: uuid.UUID, endpoint_id: uuid.UUID | None, *, but: Collection[uuid.UUID]
) -> None:
    """Deletes the secrets of an endpoint, or of the tenant's own, except these."""
    where = (Secret.tenant_id == tenant_id, Secret.endpoint_id.is_not_distinct_from(endpoint_id))
    session.execute(delete(Secret).where(*where, Secret.id.not_in(but)))


def delivery(session: Session, tenant_id: uuid.UUID, delivery_id: uuid.UUID) -> Delivery | None:
    """The tenant's delivery, locked."""
    query = select(Delivery).where(Delivery.id == delivery_id, Delivery.tenant_id == tenant_id).with_for_update()
    return session.scalars(query, execution_options={"populate_existing": True}).one_or_none()


def page(
    session: Session,
    tenant_id: uuid.UUID,
    *,
    limit: int,
    before: uuid.UUID | None,
    endpoint_id: uuid.UUID | None,
    job_id: uuid.UUID | None,
    status: str | None,
) -> Sequence[Delivery]:
    """The tenant's deliveries, newest first, at most `limit`, older than `before`."""
    filters: list[ColumnElement[bool]] = [Delivery.tenant_id == tenant_id]
    if before is not None:
        filters.append(Delivery.id < before)
    if endpoint_id is not None:
        filters.append(Delivery.endpoint_id == endpoint_id)
    if job_id is not None:
        filters.append(Delivery.job_id == job_id)
    if status is not None:
        filters.append(Delivery.status == status)
    return session.scalars(select(Delivery).where(*filters).order_by(Delivery.id.desc()).limit(limit)).all()


def claim(
    session: Session, *, limit: int, per_target: int, per_tenant: int, lease_s: float
) -> Sequence[Row[Delivery, Endpoint | None]]:
    """Takes deliveries that are due, each under its next attempt number, and gives each with its endpoint.

    Of one endpoint (or of the URLs that a tenant's jobs name) at most `per_target` are under way at once, of a tenant
    at most `per_tenant`: who is slow holds up nobody else.
    """
    busy = func.coalesce(Delivery.leased_until >= func.now(), False)
    due = and_(Delivery.status == "pending", Delivery.next_at <= func.now())
    target = func.coalesce(Delivery.endpoint_id, Delivery.tenant_id)
    turn = func.row_number().over(partition_by=target, order_by=(busy.desc(), Delivery.next_at)).label("turn")
    turns = select(Delivery.id, Delivery.tenant_id, Delivery.next_at, busy.label("busy"), turn).where(due).subquery()
    place = func.row_number().over(partition_by=turns.c.tenant_id, order_by=(turns.c.busy.desc(), turns.c.next_at))
    places = select(turns, place.label("place")).where(turns.c.turn <= per_target).subquery()
    chosen = select(places.c.id).where(places.c.place <= per_tenant, ~places.c.busy)
    chosen = chosen.order_by(places.c.next_at).limit(limit)
    locked = select(Delivery.id).where(Delivery.id.in_(chosen), due, ~busy).with_for_update(skip_locked=True)
    values = {"attempts": Delivery.attempts + 1, "leased_until": func.now() + dt.timedelta(seconds=lease_s)}
    statement = update(Delivery).where(Delivery.id.in_(locked)).values(**values).returning(Delivery.id)
    taken = session.scalars(statement, execution_options={"synchronize_session": False}).all()
    query = select(Delivery, Endpoint).outerjoin(Endpoint, Endpoint.id == Delivery.endpoint_id)
    found = query.where(Delivery.id.in_(taken)).execution_options(populate_existing=True)
    return session.execute(found.order_by(Delivery.next_at)).all()


def mark(session: Session, delivery_id: uuid.UUID, attempt: int, **values: Any) -> None:
    """Writes how an attempt ended and gives up its lease. Does nothing when the attempt may not write any more."""
    where = (Delivery.id == delivery_id, Delivery.attempts == attempt, Delivery.status == "pending")
    statement = update(Delivery).where(*where).values(leased_until=None, **values)
    session.execute(statement, execution_options={"synchronize_session": False})


def later(seconds: float) -> dict[str, ColumnElement[Any]]:
    """The values of a delivery that is due again then: at the latest when it is to be given up, and past that never."""
    early = Delivery.give_up_at > func.now()
    again_at = func.least(func.now() + dt.timedelta(seconds=seconds), Delivery.give_up_at)
    return {"status": case((early, "pending"), else_="failed"), "next_at": case((early, again_at), else_=None)}


def disable(session: Session, tenant_id: uuid.UUID, endpoint_id: uuid.UUID) -> None:
    """Nothing more is sent to the endpoint. What is pending fails when its turn comes."""
    where = (Endpoint.id == endpoint_id, Endpoint.tenant_id == tenant_id)
    session.execute(update(Endpoint).where(*where).values(disabled=True))
