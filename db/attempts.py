"""Attempts: a row each, written when the attempt ends. Kept for people to read.

While it runs the job's own row says so: `attempt` is its number, `attempt_started_at` its beginning.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from functools import cache

from sqlalchemy import DateTime, Integer, Text, func, select
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.jobs import Job
from db.session import Table


class JobAttempt(Table):
    """One run of a job by one worker, and `how` it ended."""

    __tablename__ = "job_attempts"

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    worker_id: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    stage: Mapped[str] = mapped_column(Text)
    started_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    how: Mapped[str] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(Text)


def of_row(job: Job) -> JobAttempt | None:
    """The attempt that the job's row tells of, without its end: it runs, or its worker's lease ran out. Else None."""
    if job.status not in ("running", "dispatched") or job.worker_id is None:
        return None
    return JobAttempt(
        job_id=job.id,
        number=job.attempt,
        worker_id=job.worker_id,
        model=job.queue,
        stage=job.stage,
        started_at=job.attempt_started_at,
    )


def end(session: Session, runs: Sequence[JobAttempt], how: str, error_code: str | None = None) -> None:
    """Writes that these, as `of_row` gave them, have just ended so. The last word counts."""
    if runs:
        names = ("job_id", "number", "worker_id", "model", "stage", "started_at")
        rows = [{name: getattr(run, name) for name in names} | {"how": how, "error_code": error_code} for run in runs]
        session.execute(_end(), rows)


@cache
def _end() -> Insert:
    """On the table itself: SQLAlchemy's ways with objects cost more than the statement."""
    table = JobAttempt.__table__
    assert isinstance(table, SqlTable)
    statement = insert(table).values(ended_at=func.clock_timestamp())
    said = {name: statement.excluded[name] for name in ("ended_at", "how", "error_code")}
    return statement.on_conflict_do_update(index_elements=["job_id", "number"], set_=said)


def of_job(session: Session, job_id: uuid.UUID) -> Sequence[JobAttempt]:
    """The job's attempts that have ended, the first first."""
    query = select(JobAttempt).where(JobAttempt.job_id == job_id).order_by(JobAttempt.number)
    return session.scalars(query, execution_options={"populate_existing": True}).all()


def count(session: Session, job_id: uuid.UUID, how: str) -> int:
    """How many of the job's attempts ended so."""
    where = (JobAttempt.job_id == job_id, JobAttempt.how == how)
    return session.scalar(select(func.count()).where(*where)) or 0
