"""Attempts: which may still write, which get another after them, and what became of each. No function commits."""

import datetime as dt
import random
import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db import attempts, jobs
from db.attempts import JobAttempt
from db.jobs import Job, JobOutput
from tasks import errors, ids
from tasks.jobs import lifecycle, view
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.streams.transcript import Transcript

FIRST_BACKOFF_S = 2.0


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
    if lifecycle.move(session, Status.QUEUED, *lifecycle.running(job_id, attempt), worker_id=None):
        attempts.end(session, job_id, attempt, "handed_back")


def forgive(session: Session, worker_id: str) -> int:
    """Takes back the crashes that were counted for a worker which was only silent. How many jobs they were of.

    Idempotent: its attempts that were `lost` are `taken` from then on.
    """
    mine = update(JobAttempt).where(JobAttempt.worker_id == worker_id, JobAttempt.how == "lost")
    taken = session.scalars(mine.values(how="taken").returning(JobAttempt.job_id)).all()
    counted = update(Job).where(Job.id.in_(taken), Job.crashes > 0, Job.finished_at.is_(None))
    session.execute(counted.values(crashes=Job.crashes - 1), execution_options={"synchronize_session": False})
    return len(taken)


def put_off(session: Session, job_id: uuid.UUID, attempt: int, so_far: Transcript, error_code: str) -> bool:
    """Schedules another attempt after one that failed by the system's fault. False when the job has had its chances.

    Raises `Fenced`.
    """
    guard(session, job_id, attempt)
    failures = attempts.count(session, job_id, "failed") + 1
    due_at = func.clock_timestamp() + dt.timedelta(seconds=backoff_s(failures))
    where = (*lifecycle.fenced(job_id, attempt), Job.chances > failures)
    if not lifecycle.move(session, Status.SCHEDULED, *where, worker_id=None, due_at=due_at):
        return False
    attempts.end(session, job_id, attempt, "failed", error_code)
    entries, token_ids = so_far.stored()
    jobs.save_output(session, job_id, entries=entries, token_ids=token_ids)
    return True


def end_of(session: Session, job_id: uuid.UUID, attempt: int) -> JobView | None:
    """The job as this attempt ended it; None when it didn't, for who ends it from outside takes the next number."""
    query = select(Job, JobOutput).outerjoin(JobOutput, JobOutput.job_id == Job.id)
    row = session.execute(query.where(*lifecycle.fenced(job_id, attempt))).one_or_none()
    return view.with_output(row[0], row[1]) if row and row[0].status in lifecycle.TERMINAL else None


def backoff_s(failures: int) -> float:
    """Seconds to wait after so many failures: twice as long each time, spread so that not all come back at once."""
    return float(FIRST_BACKOFF_S * 2 ** (failures - 1)) * random.uniform(1, 2)  # noqa: S311 nothing secret


def shown(session: Session, job_id: uuid.UUID) -> list[dict[str, Any]]:
    """The job's attempts as clients see them, the first first."""
    return [
        {
            "number": row.number,
            "worker": row.worker_id,
            "model": row.model,
            "stage": row.stage,
            "started_at": view.when(row.started_at),
            "ended_at": view.when(row.ended_at),
            "how": row.how,
            "error_code": row.error_code,
        }
        for row in attempts.of_job(session, job_id)
    ]
