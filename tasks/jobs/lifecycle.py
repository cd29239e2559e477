"""The states of a job, and the one place that changes them."""

import enum
import uuid
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from db import attempts, once
from db.jobs import Job


class Status(enum.StrEnum):
    SCHEDULED = "scheduled"  # accepted; waits in PostgreSQL for its time
    QUEUED = "queued"  # accepted; waits in PostgreSQL for its turn
    DISPATCHED = "dispatched"  # in the window: its message is in Redis, or its worker's lease ran out
    RUNNING = "running"  # claimed by a worker
    WAITING = "waiting"  # for its children; no worker has it
    SUCCEEDED = "succeeded"  # ended with a result
    FAILED = "failed"  # ended with an error
    CANCELLED = "cancelled"  # ended because somebody asked
    EXPIRED = "expired"  # ended because it didn't start in time


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})

_UNCLAIMED = frozenset({Status.SCHEDULED, Status.QUEUED, Status.DISPATCHED})
_ENDS_WAITING = frozenset({Status.FAILED, Status.CANCELLED, Status.EXPIRED})

# From each state, where it may go. `dispatched → succeeded` is a worker that was cut off past its lease and is back
# before anyone claimed its job: its attempt is still the newest, so its work counts; `→ scheduled`, its failure.
# `dispatched → queued` is a batch's line in whose turn another one of the batch runs.
# `running → cancelled` and `→ expired` are also a batch's own ends, once its files are written.
MOVES: dict[Status, frozenset[Status]] = {
    Status.SCHEDULED: frozenset({Status.QUEUED}) | _ENDS_WAITING,
    Status.QUEUED: frozenset({Status.DISPATCHED}) | _ENDS_WAITING,
    Status.DISPATCHED: frozenset({Status.RUNNING, Status.QUEUED, Status.SCHEDULED, Status.SUCCEEDED}) | _ENDS_WAITING,
    Status.RUNNING: frozenset(
        {
            Status.DISPATCHED,
            Status.QUEUED,
            Status.SCHEDULED,
            Status.WAITING,
            Status.SUCCEEDED,
            Status.FAILED,
            Status.CANCELLED,
            Status.EXPIRED,
        }
    ),
    Status.WAITING: frozenset({Status.QUEUED, Status.FAILED, Status.CANCELLED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}


def origins(target: Status) -> tuple[Status, ...]:
    """The states from which `target` may be reached."""
    return tuple(origin for origin, targets in MOVES.items() if target in targets)


def shown(status: str) -> str:
    """The status that clients are shown: `queued` for all that wait for their turn, wherever they do.

    A parent that waits for its children is `running`, as they are.
    """
    if status == Status.WAITING:
        return Status.RUNNING
    return Status.QUEUED if status in _UNCLAIMED else status


def move(session: Session, target: Status, *where: ColumnElement[bool], **values: Any) -> list[Job]:
    """Moves the jobs that match and may move, in one statement, and returns them as they now are.

    A job that is elsewhere is left alone: an empty list is the answer to a lost race, not an error.
    """
    if target in TERMINAL:
        values["stage_input"] = None  # passages, parts of documents: no stage comes that would read them
    statement = update(Job).where(Job.status.in_(origins(target)), *where).values(status=target, **values)
    return list(
        session.scalars(
            statement.returning(Job), execution_options={"synchronize_session": False, "populate_existing": True}
        )
    )


def move_many(session: Session, target: Status, *where: ColumnElement[bool], **values: Any) -> list[uuid.UUID]:
    """`move` for jobs of which nobody is told one by one: which they were."""
    if target in TERMINAL:
        values["stage_input"] = None
    statement = update(Job).where(Job.status.in_(origins(target)), *where).values(status=target, **values)
    return list(session.scalars(statement.returning(Job.id), execution_options={"synchronize_session": False}))


def leave(
    session: Session, target: Status, how: str, *where: ColumnElement[bool], code: str | None = None, **values: Any
) -> list[Job]:
    """`move` for jobs whose attempts end with it, though the jobs don't: `how` is written of each."""
    locked = select(Job).where(Job.status.in_(origins(target)), *where).with_for_update(key_share=True)
    found = session.scalars(locked, execution_options={"populate_existing": True}).all()
    if not found:
        return []
    attempts.end(session, [run for job in found if (run := attempts.of_row(job))], how, code)
    return move(session, target, Job.id.in_([job.id for job in found]), **values)


def unlocked(*where: ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition that a job matches and no other transaction holds it; this one then does.

    It is for moves of many jobs: one that is being cancelled must not keep the others waiting (docs/adr/0015).
    """
    return once.among(Job.id, select(Job.id).where(*where).with_for_update(skip_locked=True, key_share=True))


def mark_sent(session: Session, job_ids: list[uuid.UUID]) -> None:
    """Notes that the messages of dispatched jobs go out again now."""
    where = unlocked(Job.id.in_(job_ids), Job.status == Status.DISPATCHED)
    session.execute(update(Job).where(where).values(dispatched_at=func.statement_timestamp()))
