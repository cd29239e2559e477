"""Deliveries: what is to be sent to endpoints, or to the URLs that jobs name, and how it went."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    CheckConstraint,
    ColumnElement,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Row,
    Select,
    Text,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, defer, mapped_column

from db import once
from db.jobs import Job
from db.session import Table, alone, as_sql
from db.tenants import is_suspended
from db.webhooks.endpoints import SEEN, Endpoint


class Delivery(Table):
    """One message for one URL: the endpoint's, or the `url` that its job named.

    Deliveries of one `target_id` share their turns: it is the endpoint, or the tenant where a job named the URL. A
    pending one is due at `next_at`, unless an attempt holds it until `leased_until`. `attempts` fences: an attempt with
    an older number than the row's may not write any more. It only grows; `attempts_before` are of earlier schedules.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    endpoint_id: Mapped[uuid.UUID | None]
    target_id: Mapped[uuid.UUID]
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    message_id: Mapped[uuid.UUID]
    type: Mapped[str] = mapped_column(Text)
    url: Mapped[str | None] = mapped_column(Text)
    payload: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    attempts_before: Mapped[int] = mapped_column(Integer, server_default="0")
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
        Index("webhook_deliveries_due", "target_id", "next_at", postgresql_where=status == "pending"),
        Index("webhook_deliveries_leased", "leased_until", postgresql_where=leased_until.is_not(None)),
        Index("webhook_deliveries_ended", "give_up_at", postgresql_where=status != "pending"),
    )


def add(session: Session, rows: Sequence[Mapping[str, Any]], given_up_after: dt.timedelta) -> None:
    """Writes deliveries down, given by their columns, in one statement; they are to be given up so long from now."""
    if rows:
        statement = insert(Delivery).values(give_up_at=func.now() + given_up_after)
        session.execute(statement, rows, execution_options={"render_nulls": True})  # else each None makes its own


def find(session: Session, tenant_id: uuid.UUID, delivery_id: uuid.UUID) -> Delivery | None:
    """The tenant's delivery without its payload, locked."""
    query = _shown().where(Delivery.id == delivery_id, Delivery.tenant_id == tenant_id).with_for_update()
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
    """The tenant's deliveries without their payloads, newest first, at most `limit`, older than `before`."""
    filters: list[ColumnElement[bool]] = [Delivery.tenant_id == tenant_id]
    if before is not None:
        filters.append(Delivery.id < before)
    if endpoint_id is not None:
        filters.append(Delivery.endpoint_id == endpoint_id)
    if job_id is not None:
        filters.append(Delivery.job_id == job_id)
    if status is not None:
        filters.append(Delivery.status == status)
    return session.scalars(_shown().where(*filters).order_by(Delivery.id.desc()).limit(limit)).all()


def _shown() -> Select[Delivery]:
    of_deleted = exists().where(Endpoint.id == Delivery.endpoint_id, ~SEEN)
    return select(Delivery).where(~of_deleted).options(defer(Delivery.payload))


def waiting(session: Session, endpoint_id: uuid.UUID, type: str, limit: int) -> int:
    """How many deliveries of the type are pending for the endpoint, counted up to `limit`."""
    where = (Delivery.target_id == endpoint_id, Delivery.type == type, Delivery.status == "pending")
    some = select(Delivery.id).where(*where).limit(limit).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def claim(
    session: Session, *, limit: int, per_target: int, per_tenant: int, lease_s: float
) -> Sequence[Row[Delivery, Endpoint | None, bool]]:
    """Takes deliveries that are due, each under its next attempt number, and gives each with its endpoint.

    Of one endpoint (or of the URLs that a tenant's jobs name) at most `per_target` are under way at once, of a tenant
    at most `per_tenant`, and the tenant with fewest goes first: a slow receiver holds up no other. The last value of
    each row says whether the delivery should have been given up a day ago.
    """
    chosen = _chosen(per_target, per_tenant).limit(limit).subquery()
    locked = (
        select(Delivery.id)
        .where(once.among(Delivery.id, select(chosen.c.id)), _due())
        .with_for_update(skip_locked=True)
    )
    values = {"attempts": Delivery.attempts + 1, "leased_until": func.now() + dt.timedelta(seconds=lease_s)}
    statement = update(Delivery).where(once.among(Delivery.id, locked)).values(**values).returning(Delivery.id)
    taken = session.scalars(statement, execution_options={"synchronize_session": False}).all()
    overdue = Delivery.give_up_at < func.now() - dt.timedelta(days=1)
    query = select(Delivery, Endpoint, overdue).outerjoin(Endpoint, Endpoint.id == Delivery.endpoint_id)
    found = query.where(Delivery.id.in_(taken)).execution_options(populate_existing=True)
    return session.execute(found.order_by(Delivery.next_at)).all()


def any_due(session: Session) -> bool:
    """Whether there is one to be claimed, limits apart. One statement, in a transaction of its own."""
    [row] = alone(session)(_any_due(), {})
    return bool(row["due"])


@cache
def _any_due() -> str:
    targets = _targets()
    own = exists().where(Delivery.target_id == targets.c.target_id, _due())
    return f"SELECT EXISTS {as_sql(select(literal(1)).select_from(targets).where(own))} AS due"


def _due() -> ColumnElement[bool]:
    unheld = or_(Delivery.leased_until.is_(None), Delivery.leased_until < func.now())
    lives = ~is_suspended(Delivery.tenant_id)
    return and_(Delivery.status == "pending", Delivery.next_at <= func.now(), unheld, lives)


def _chosen(per_target: int, per_tenant: int) -> Select[uuid.UUID, dt.datetime | None]:
    """The deliveries to take, in order. A few index probes for each target, however many deliveries wait for it.

    A tenant's deliveries are placed behind those it has under way, and a target's likewise among the tenant's. So one
    tenant's hanging deliveries, or its long backlog, don't come before the next of another's.
    """
    held = select(Delivery.target_id, Delivery.tenant_id).where(Delivery.leased_until >= func.now()).cte("held")
    targets = _targets()
    turn = func.row_number().over(order_by=Delivery.next_at).label("turn")
    own = (_due(), Delivery.target_id == targets.c.target_id)
    columns = (Delivery.id, Delivery.tenant_id, Delivery.next_at, turn)
    first = select(*columns).where(*own).order_by(Delivery.next_at).limit(per_target).lateral()
    of_target = select(func.count()).where(held.c.target_id == targets.c.target_id).scalar_subquery()
    by_turn = (first.c.turn + of_target, first.c.next_at)
    place = func.row_number().over(partition_by=first.c.tenant_id, order_by=by_turn).label("place")
    placed = select(first.c.id, first.c.tenant_id, first.c.next_at, place).select_from(targets)
    turns = placed.join(first, literal(True)).where(first.c.turn + of_target <= per_target).subquery()
    of_tenant = select(func.count()).where(held.c.tenant_id == turns.c.tenant_id).scalar_subquery()
    behind = turns.c.place + of_tenant
    return select(turns.c.id, turns.c.next_at).where(behind <= per_tenant).order_by(behind, turns.c.next_at)


def _targets() -> CTE:
    """The distinct targets of pending deliveries, one index probe each instead of a scan; no deleted endpoints."""
    probe = select(Delivery.target_id).where(Delivery.status == "pending").order_by(Delivery.target_id).limit(1)
    steps = select(probe.scalar_subquery().label("target_id")).cte("steps", recursive=True)
    following = probe.where(Delivery.target_id > steps.c.target_id).scalar_subquery()
    steps = steps.union_all(select(following).where(steps.c.target_id.is_not(None)))
    gone = exists().where(Endpoint.id == steps.c.target_id, ~SEEN)
    return select(steps.c.target_id).where(steps.c.target_id.is_not(None), ~gone).cte("targets")


def hold(session: Session, delivery_id: uuid.UUID, attempt: int) -> int | None:
    """Locks the delivery, to `mark` it. Returns how many attempts were made before its present schedule.

    None when the attempt may not write any more.
    """
    where = (Delivery.id == delivery_id, Delivery.attempts == attempt, Delivery.status == "pending")
    return session.scalar(select(Delivery.attempts_before).where(*where).with_for_update(key_share=True))


def mark(session: Session, delivery_id: uuid.UUID, **values: Any) -> None:
    """Writes how an attempt ended and gives up its lease. The delivery is held.

    One that has ended about a job whose words are erased loses its own.
    """
    erased = exists().where(Job.id == Delivery.job_id, cast(Job.input, Text) == "{}")
    no_more = and_(cast(values["status"], Text) != "pending", erased)
    payload = case((no_more, ""), else_=Delivery.payload)
    statement = update(Delivery).where(Delivery.id == delivery_id).values(leased_until=None, payload=payload, **values)
    session.execute(statement, execution_options={"synchronize_session": False})


def later(seconds: float) -> dict[str, ColumnElement[Any]]:
    """The values of a delivery to be tried again in `seconds`, or at `give_up_at` if that is sooner; then it fails."""
    early = Delivery.give_up_at > func.now()
    again_at = func.least(func.now() + dt.timedelta(seconds=seconds), Delivery.give_up_at)
    return {"status": case((early, "pending"), else_="failed"), "next_at": case((early, again_at), else_=None)}


def remove_deleted_endpoints(session: Session, limit: int) -> int:
    """Removes deleted endpoints, and of their deliveries at most `limit` first. How many deliveries those were."""
    deleted = select(Endpoint.id).where(~SEEN)
    removed = _remove_some(session, Delivery.endpoint_id.in_(deleted), limit)
    bare = deleted.where(~exists().where(Delivery.endpoint_id == Endpoint.id)).with_for_update(skip_locked=True)
    session.execute(
        delete(Endpoint).where(once.among(Endpoint.id, bare)), execution_options={"synchronize_session": False}
    )
    return removed


def remove_ended(session: Session, kept: dt.timedelta, limit: int) -> int:
    """Removes deliveries that have ended and were to be given up so long ago, at most `limit`. How many they were."""
    return _remove_some(session, and_(Delivery.status != "pending", Delivery.give_up_at < func.now() - kept), limit)


def _remove_some(session: Session, which: ColumnElement[bool], limit: int) -> int:
    some = select(Delivery.id).where(which).limit(limit).with_for_update(skip_locked=True)
    statement = delete(Delivery).where(once.among(Delivery.id, some)).returning(Delivery.id)
    return len(session.scalars(statement, execution_options={"synchronize_session": False}).all())
