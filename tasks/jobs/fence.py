"""The fence: which attempt may still write. Only the newest may, and only while its job hasn't ended."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from db.jobs import Job
from tasks import errors, ids
from tasks.jobs.lifecycle import Status
from tasks.limits.spent import Spent

_LIVE = (Status.RUNNING, Status.DISPATCHED)
# An attempt's lease ran out and nobody has claimed its job yet, where a dispatched job still names its worker: whoever
# gave a job away by itself, to its next stage or its queue, has taken the name out.
_OPEN = or_(Job.status == Status.RUNNING, and_(Job.status == Status.DISPATCHED, Job.worker_id.is_not(None)))


def fenced(job_id: uuid.UUID, attempt: int) -> tuple[ColumnElement[bool], ...]:
    """The condition under which an attempt may still write."""
    return Job.id == job_id, Job.attempt == attempt


def running(job_id: uuid.UUID, attempt: int) -> tuple[ColumnElement[bool], ...]:
    """The condition under which an attempt may give its job away: it runs, and wasn't put off meanwhile."""
    return *fenced(job_id, attempt), Job.status == Status.RUNNING


def touch(session: Session, job_id: uuid.UUID, attempt: int, **values: Any) -> bool:
    """Writes to a running job without moving it. False when the attempt may not write any more."""
    where = (*fenced(job_id, attempt), _OPEN)
    return session.scalar(update(Job).where(*where).values(**values).returning(Job.id)) is not None


def guard(session: Session, job_id: uuid.UUID, attempt: int) -> None:
    """Makes the transaction one of the attempt's: raises `Fenced` when it may not write any more."""
    if not session.scalar(select(Job.id).where(*fenced(job_id, attempt), _OPEN).with_for_update(read=True)):
        raise errors.Fenced(f"attempt {attempt} of {ids.show(job_id)} is over")


def progressed(session: Session, job_id: uuid.UUID, attempt: int, **values: Any) -> None:
    """Notes that the attempt came so far: whatever took workers with it before is behind the job now.

    `values` are written into the job's row too. Raises `Fenced`.
    """
    if not touch(session, job_id, attempt, crashes=0, **values):
        raise errors.Fenced(f"attempt {attempt} of {ids.show(job_id)} is over")


def handed(session: Session, job_id: uuid.UUID) -> dict[str, Any] | None:
    """What the job's stage is to go on from: an attempt that has come further notes more than it was handed."""
    return session.scalar(select(Job.stage_input).where(Job.id == job_id))


def added(spent: Spent) -> dict[str, ColumnElement[int]]:
    """The values with which a job's row has spent so much more: it keeps one running sum."""
    return {
        "prompt_tokens": func.coalesce(Job.prompt_tokens, 0) + spent.prompt,
        "completion_tokens": func.coalesce(Job.completion_tokens, 0) + spent.completion,
        "embedding_tokens": func.coalesce(Job.embedding_tokens, 0) + spent.embedding,
        "cached_tokens": func.coalesce(Job.cached_tokens, 0) + spent.cached,
    }


def charge(session: Session, job_id: uuid.UUID, attempt: int, spent: Spent, **values: Any) -> None:
    """`guard`, and adds to what the job has spent for good. No other attempt adds until the transaction ends.

    `values` are written into the job's row too. Raises `Fenced`.
    """
    if not touch(session, job_id, attempt, **added(spent), **values):
        raise errors.Fenced(f"attempt {attempt} of {ids.show(job_id)} is over")


def lost_attempts(session: Session, held: Mapping[uuid.UUID, int]) -> set[uuid.UUID]:
    """Which of the attempts a worker holds are over: a newer one exists, or the job has ended."""
    rows = session.execute(select(Job.id, Job.attempt, Job.status).where(Job.id.in_(held)))
    kept = {job_id for job_id, attempt, status in rows if attempt == held[job_id] and status in _LIVE}
    return set(held) - kept
