"""What is kept of a job that nobody is to read again: its row, without what went in and what came out."""

import uuid

from sqlalchemy import CTE, ColumnElement, Select, and_, delete, func, literal, null, select, update
from sqlalchemy.orm import Session

from db.jobs import Job, JobOutput
from db.vectors import JobVectors


def is_due(ttl_s: float) -> ColumnElement[bool]:
    """The condition that a job isn't to be kept, and ended so long ago."""
    age = func.make_interval(0, 0, 0, 0, 0, 0, ttl_s)
    return and_(Job.store.is_(False), Job.finished_at.is_not(None), Job.finished_at < func.now() - age)


def due(ttl_s: float, limit: int) -> Select[uuid.UUID]:
    """The query for such jobs, the longest ended first."""
    return select(Job.id).where(is_due(ttl_s)).order_by(Job.finished_at).limit(limit)


def erase(session: Session, ttl_s: float, limit: int) -> int:
    """Erases what went into such jobs, at most `limit`, and what came out; how many. Idempotent."""
    chosen = due(ttl_s, limit).with_for_update(skip_locked=True).cte("chosen")
    emptied = update(Job).where(Job.id.in_(select(chosen.c.id)))
    emptied = emptied.values(
        input=literal({}, Job.input.type), params=literal({}, Job.params.type), stage_input=null(), store=None
    )
    statement = emptied.returning(Job.id).add_cte(*(_dropped(table, chosen) for table in (JobOutput, JobVectors)))
    options = {"synchronize_session": False}
    return len(session.execute(statement, execution_options=options).all())


def _dropped(table: type[JobOutput] | type[JobVectors], chosen: CTE) -> CTE:
    return delete(table).where(table.job_id.in_(select(chosen.c.id))).cte(f"dropped_{table.__tablename__}")
