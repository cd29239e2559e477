"""Attempts: a narrow row each, begun with the claim and ended with whatever ends the run. Kept for people to read."""

import datetime as dt
import uuid
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    ForeignKey,
    Integer,
    Select,
    Text,
    Update,
    bindparam,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from db import checkpoints
from db.jobs import Job, JobInput, JobOutput
from db.session import Table


class JobAttempt(Table):
    """One run of a job by one worker. `how` it ended is None while it runs."""

    __tablename__ = "job_attempts"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    worker_id: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    stage: Mapped[str] = mapped_column(Text)
    started_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    ended_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    how: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(Text)


def begin(
    session: Session, job_id: uuid.UUID, number: int, *, worker_id: str, model: str, stage: str
) -> tuple[JobInput, JobOutput | None, list[list[Any]] | None]:
    """Notes an attempt that begins; gives what the job was asked, and what is kept of it (`jobs.so_far`). One round
    trip: every claim makes it."""
    values = {"job": job_id, "at": number, "worker": worker_id, "on_model": model, "in_stage": stage}
    given, output, pieces = session.execute(_begin(), values).one()
    return given, output, pieces


@lru_cache(maxsize=64)
def may_be_tried(worker_id: str) -> ColumnElement[bool]:
    """The condition that the job has a chance beside the one it is about to take, or the worker runs no other such.

    Built once a worker: every claim of its asks it.
    """
    other = aliased(Job)
    last = other.crashes >= other.chances - 1
    beside = exists().where(other.worker_id == worker_id, other.status == "running", last)
    return or_(Job.crashes < Job.chances - 1, not_(beside))


@cache
def _begin() -> Select[JobInput, JobOutput, Any]:
    noted = (
        insert(_table())
        .values(
            job_id=bindparam("job"),
            number=bindparam("at"),
            worker_id=bindparam("worker"),
            model=bindparam("on_model"),
            stage=bindparam("in_stage"),
        )
        .cte("noted")
    )
    query = select(JobInput, JobOutput, checkpoints.kept(bindparam("job")))
    query = query.outerjoin(JobOutput, JobOutput.job_id == JobInput.job_id)
    return query.where(JobInput.job_id == bindparam("job")).add_cte(noted)


def _table() -> SqlTable:
    """The table itself, as in `jobs.save_output`: every job makes two of these statements."""
    table = JobAttempt.__table__
    assert isinstance(table, SqlTable)
    return table


def end(session: Session, job_id: uuid.UUID, number: int, how: str, error_code: str | None = None) -> None:
    """Notes how the attempt ended; the last word counts."""
    values = {"job": job_id, "at": number, "ended_how": how, "code": error_code}
    session.execute(_end(open_only=False), values)


def end_open(session: Session, job_id: uuid.UUID, number: int, how: str, error_code: str | None = None) -> None:
    """Writes how an attempt ended, unless its end is written already; does nothing when there is no such attempt."""
    values = {"job": job_id, "at": number, "ended_how": how, "code": error_code}
    session.execute(_end(open_only=True), values)


@cache
def _end(*, open_only: bool) -> Update:
    statement = update(_table()).where(JobAttempt.job_id == bindparam("job"), JobAttempt.number == bindparam("at"))
    if open_only:
        statement = statement.where(JobAttempt.how.is_(None))
    ended = {"how": bindparam("ended_how"), "error_code": bindparam("code", type_=Text)}
    return statement.values(ended_at=func.clock_timestamp(), **ended)


def of_job(session: Session, job_id: uuid.UUID) -> Sequence[JobAttempt]:
    """The job's attempts, the first first."""
    query = select(JobAttempt).where(JobAttempt.job_id == job_id).order_by(JobAttempt.number)
    return session.scalars(query, execution_options={"populate_existing": True}).all()


def count(session: Session, job_id: uuid.UUID, how: str) -> int:
    """How many of the job's attempts ended so."""
    where = (JobAttempt.job_id == job_id, JobAttempt.how == how)
    return session.scalar(select(func.count()).where(*where)) or 0
