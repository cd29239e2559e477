"""Parents and children: a job made of other jobs, which goes on when the last of them has ended.

A parent's stage adopts children and ends with `Onward(wait_for_children=True)`: the job waits, held by no worker.
Two things must not happen: that nobody moves it on, and that two do.

Whoever ends a child looks for unfinished ones once that is committed (`go_on`). So of two that end the last two
children at once, the later one sees that the other has ended. Where there is none it locks the parent's row, looks
again, and moves it on: which takes it out of `waiting`, and so is done once. The stage that begins to wait looks while
it holds that lock: a child whose end it doesn't see is committed later, and who ended that waits for the lock. Whoever
dies between an end and the look leaves the parent to the sweep.

So the ends of children don't wait for each other, and several are written in one statement, as those of plain jobs.
Whoever ends a parent ends the children in other transactions. Until they have ended, nobody can claim them.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db import families
from db.jobs import Job
from db.session import Transactions, alone, told
from tasks import failpoints
from tasks.jobs import fence, jobs, lifecycle, view
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Plan
from tasks.jobs.view import JobView
from tasks.limits.spent import Spent

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Child:
    """A child to be written down: its plan, its place among its parent's children, and the client's name for it.

    Of the plan's times only `deadline_s` counts; its lane and priority are the parent's.
    """

    plan: Plan
    place: int
    label: str | None = None


def is_child(session: Session, job_id: uuid.UUID) -> bool:
    return families.is_child(session, job_id)


def adopt(session: Session, parent_id: uuid.UUID, attempt: int, children: Sequence[Child]) -> set[str]:
    """Writes down children of the job that this attempt runs. After the commit: a refill for the queues it returns.

    They are the tenant's whose job it is, have its key, request, lane and priority, and are kept as long. A place that
    has its child keeps it: an attempt that begins again adopts nobody twice. Raises `Fenced`.
    """
    parent = _fenced(session, parent_id, attempt)
    families.add(session, [_columns(parent, child) | {"status": Status.QUEUED} for child in children])
    return {child.plan.queue for child in children}


def adopt_failed(
    session: Session, parent_id: uuid.UUID, attempt: int, children: Sequence[tuple[Child, tuple[str, str]]]
) -> list[uuid.UUID]:
    """Writes down children that have failed before they could be begun, each with its error's code and message.

    Otherwise as `adopt`. Which of them are new: in this transaction `settlement.keep` them. Raises `Fenced`.
    """
    parent, now = _fenced(session, parent_id, attempt), dt.datetime.now(dt.UTC)
    ended = {"status": Status.FAILED, "finished_at": now}
    rows = [
        _columns(parent, child) | ended | {"error_code": code, "error_message": message}
        for child, (code, message) in children
    ]
    return families.add(session, rows)


def _fenced(session: Session, parent_id: uuid.UUID, attempt: int) -> Job:
    fence.guard(session, parent_id, attempt)
    return session.get_one(Job, parent_id)


def _columns(parent: Job, child: Child) -> dict[str, Any]:
    inherited = {
        "parent_id": parent.id,
        "tenant_id": parent.tenant_id,
        "key_id": parent.key_id,
        "request_id": parent.request_id,
        "lane": parent.lane,
        "priority": parent.priority,
        "store": parent.store,
    }
    return jobs.planned(child.plan) | inherited | {"place": child.place, "label": child.label, "stage_input": None}


@dataclass(frozen=True, slots=True)
class Grown:
    """A child that has ended: its place, how it ended, and what it spent."""

    place: int
    result: dict[str, Any] | None
    error: tuple[str, str] | None
    spent: Spent


def grown(session: Session, parent_id: uuid.UUID) -> list[Grown]:
    """The children of a job that was moved on, in the order of their places. One without a result has an error."""
    return [_grown(job, result) for job, result in families.outcomes(session, parent_id)]


def _grown(job: Job, result: dict[str, Any] | None) -> Grown:
    error = None if result is not None else (job.error_code or job.status, job.error_message or f"it was {job.status}")
    return Grown(job.place or 0, result, error, view.spent(job))


def empty(session: Session, parent_id: uuid.UUID, attempt: int, first: int, stage: str) -> None:
    """Erases what went into the children, from this place on, that have ended in this stage: their parent has what they
    said, and nobody can ask for one of them again. Raises `Fenced`."""
    fence.guard(session, parent_id, attempt)
    families.empty(session, parent_id, first, stage)


def places(session: Session, parent_id: uuid.UUID) -> dict[int, JobView]:
    """The children that a job has by now, by their places."""
    return {job.place or 0: view.of(job, result) for job, result in families.outcomes(session, parent_id)}


def move_on(session: Session, parent_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Queues those of these parents that wait while no child of theirs is unfinished. Returns their queues, by id.

    Idempotent. After the commit: a refill for the queues.
    """
    if not parent_ids:
        return {}
    families.lock(session, parent_ids)
    waits = (Job.id.in_(parent_ids), Job.status == Status.WAITING, families.no_child_left())
    return {parent.id: parent.queue for parent in lifecycle.move(session, Status.QUEUED, *waits)}


def go_on(scope: Transactions, ended: Iterable[JobView]) -> set[str]:
    """Moves on the parents of these jobs that have no unfinished child any more; where that fails, the sweep does.

    It follows the commit of the jobs' ends. Idempotent. Then: a refill for the queues that it returns.
    """
    parent_ids = {job.parent_id for job in ended if job.parent_id is not None}
    if not parent_ids:
        return set()
    try:
        with scope.begin() as session:
            left = families.without_unfinished(alone(session), parent_ids)
            if left:
                failpoints.passed("families.before_move_on")
            return set(move_on(session, left).values())
    except SQLAlchemyError as error:
        log.warning("parents_not_moved_on", error=told(error))
        return set()


def resume(session: Session, limit: int) -> set[str]:
    """Moves on parents, at most `limit`, that their last child's end left waiting. Then: refill the queues returned."""
    return set(move_on(session, families.ready(session, limit)).values())
