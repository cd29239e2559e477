"""Which attempts may still write, as PostgreSQL has it. No function commits."""

import uuid
from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.jobs import Job
from tasks import errors, ids, lifecycle
from tasks.lifecycle import Status


def guard(session: Session, job_id: uuid.UUID, attempt: int) -> None:
    """Makes the transaction one of the attempt's: raises `Fenced` when it may not write any more."""
    live = Job.status.in_((Status.RUNNING, Status.DISPATCHED))
    if not session.scalar(select(Job.id).where(*lifecycle.fenced(job_id, attempt), live).with_for_update(read=True)):
        raise errors.Fenced(f"attempt {attempt} of {ids.show(job_id)} is over")


def charge(session: Session, job_id: uuid.UUID, attempt: int, tokens: int) -> None:
    """`guard`, and counts tokens that the job has spent for good. No other attempt counts until the transaction ends.

    Raises `Fenced`.
    """
    if not lifecycle.touch(session, job_id, attempt, prompt_tokens=func.coalesce(Job.prompt_tokens, 0) + tokens):
        raise errors.Fenced(f"attempt {attempt} of {ids.show(job_id)} is over")


def lost_attempts(session: Session, held: Mapping[uuid.UUID, int]) -> set[uuid.UUID]:
    """Which of the attempts a worker holds are over: a newer one exists, or the job has ended."""
    rows = session.execute(select(Job.id, Job.attempt, Job.status).where(Job.id.in_(held)))
    live = (Status.RUNNING, Status.DISPATCHED)
    kept = {job_id for job_id, attempt, status in rows if attempt == held[job_id] and status in live}
    return set(held) - kept


def unheld(session: Session, worker_id: str, held: Mapping[uuid.UUID, int]) -> set[tuple[uuid.UUID, int]]:
    """The attempts (job, number) that PostgreSQL says the worker runs and that it doesn't hold."""
    mine = select(Job.id, Job.attempt).where(Job.worker_id == worker_id, Job.status == Status.RUNNING)
    return {(job_id, attempt) for job_id, attempt in session.execute(mine) if held.get(job_id) != attempt}


def release(session: Session, job_id: uuid.UUID, attempt: int) -> None:
    """Returns a job that its worker doesn't hold to the queue: no crash is counted. Does nothing if it has moved."""
    lifecycle.move(session, Status.QUEUED, *lifecycle.fenced(job_id, attempt), worker_id=None)
