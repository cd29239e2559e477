"""What is kept of a job that nobody is to read again: its row, without what went in and what came out."""

import uuid
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, literal, not_, null, or_, select, update
from sqlalchemy.orm import Session, aliased

from db import once
from db.jobs import Job, JobOutput
from db.vectors import JobVectors
from db.webhooks.deliveries import Delivery

_KEPT: tuple[type[JobOutput] | type[JobVectors], ...] = (JobOutput, JobVectors)
_NOTHING: dict[str, Any] = {
    "input": literal({}, Job.input.type),
    "params": literal({}, Job.params.type),
    "stage_input": null(),
    "store": None,
}


def is_due(ttl_s: float) -> ColumnElement[bool]:
    """The condition that a job isn't to be kept, and ended so long ago. A child is kept for as long as its parent waits
    for others: its answer is a part of the parent's."""
    age = func.make_interval(0, 0, 0, 0, 0, 0, ttl_s)
    ended = and_(Job.finished_at.is_not(None), Job.finished_at < func.now() - age)
    parent = aliased(Job)
    waits = exists().where(parent.id == Job.parent_id, parent.finished_at.is_(None)).correlate(Job)
    return and_(Job.store.is_(False), ended, or_(Job.parent_id.is_(None), not_(waits)))


def due(ttl_s: float, limit: int) -> Select[uuid.UUID]:
    """The query for such jobs, the longest ended first."""
    return select(Job.id).where(is_due(ttl_s)).order_by(Job.finished_at).limit(limit)


def forget(session: Session, ttl_s: float, limit: int) -> int:
    """Forgets what went into such jobs, at most `limit`, what came out, and what webhooks were told of it; how many.

    A message that is still to be sent loses its words when it is, by `deliveries.mark`. Idempotent.
    """
    chosen = due(ttl_s, limit).with_for_update(skip_locked=True).cte("chosen")
    emptied = update(Job).where(Job.id.in_(select(chosen.c.id))).values(_NOTHING).returning(Job.id)
    dropped = [delete(table).where(table.job_id.in_(select(chosen.c.id))).cte(table.__tablename__) for table in _KEPT]
    theirs = once.among(Delivery.job_id, select(chosen.c.id))
    told = update(Delivery).where(theirs, Delivery.status != "pending").values(payload="").cte("told")
    return len(session.execute(emptied.add_cte(*dropped, told), execution_options={"synchronize_session": False}).all())
