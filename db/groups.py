"""Lines of a batch that begin alike: a range of ids each (`tasks.ids.group_of`)."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Select, Uuid, bindparam, select
from sqlalchemy.orm import Session

from db import jobs
from db.jobs import Job

Range = tuple[uuid.UUID, uuid.UUID]  # the first and the last id in it


@dataclass(frozen=True, slots=True)
class Where:
    """Where a batch's lines wait: those of one batch and one queue differ in nothing of this."""

    queue: str
    lane: str
    tenant_id: uuid.UUID
    priority: int


def dispatched(session: Session, job_id: uuid.UUID) -> Where | None:
    """Where that job is in the window; None where it isn't, is nobody's child, or is still a lost worker's."""
    found = (Job.id == job_id, Job.status == "dispatched", Job.parent_id.is_not(None), Job.worker_id.is_(None))
    row = session.execute(select(Job.queue, Job.lane, Job.tenant_id, Job.priority).where(*found)).one_or_none()
    return Where(*row) if row else None


def first_waiting(session: Session, where: Where, within: Range) -> uuid.UUID | None:
    """The first job in the range that waits there and may start; where none waits for the window, the first in it.

    One probe of `jobs_queued`, and then one of `jobs_moving`.
    """
    low, high = within
    asked = {"queue": where.queue, "lane": where.lane, "low": low, "high": high}
    own = {"tenant_id": where.tenant_id, "priority": where.priority}
    found: uuid.UUID | None = session.scalar(_queued(), asked | own) or session.scalar(_in_window(), asked)
    return found


@cache
def _queued() -> Select[Any]:
    same = (Job.lane == bindparam("lane"), Job.tenant_id == bindparam("tenant_id"))
    return _first("queued").where(*same, Job.priority == bindparam("priority"))


@cache
def _in_window() -> Select[Any]:
    return _first("dispatched").where(Job.lane == bindparam("lane"))


def _first(status: str) -> Select[Any]:
    which = (
        Job.queue == bindparam("queue"),
        Job.status == status,
        _within(),
        jobs.may_start(),
        Job.crashes < Job.chances - 1,
    )
    return select(Job.id).where(*which).order_by(Job.id).limit(1)


def locked(session: Session, job_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """How these jobs stand, which nobody else changes until the transaction ends. It waits for whoever changes one just
    now, as a refill does, for milliseconds."""
    rows = select(Job.id, Job.status).where(Job.id.in_(job_ids)).order_by(Job.id).with_for_update(key_share=True)
    return {row.id: row.status for row in session.execute(rows)}


def running(session: Session, where: Where, within: Range) -> Sequence[uuid.UUID]:
    """The jobs in the range that run there."""
    low, high = within
    return session.scalars(_running(), {"queue": where.queue, "lane": where.lane, "low": low, "high": high}).all()


@cache
def _running() -> Select[Any]:
    moving = (Job.queue == bindparam("queue"), Job.lane == bindparam("lane"), Job.status == "running")
    return select(Job.id).where(*moving, _within())


def _within() -> Any:
    low: BindParameter[Any] = bindparam("low", type_=Uuid)
    return Job.id.between(low, bindparam("high", type_=Uuid))
