"""Jobs removed, with all rows about them. What they cost stays in the ledger."""

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Row, and_, bindparam, delete, exists, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.orm import Session, aliased

from db.attempts import JobAttempt
from db.batch_results import BatchResult
from db.batches import Batch
from db.checkpoints import JobCheckpoint
from db.families import no_child_left
from db.idempotency import IdempotencyKey
from db.jobs import Job, JobOutput
from db.summaries import SummaryResult
from db.takeovers import LineDigest
from db.twins import BatchTwin
from db.vectors import JobVectors
from db.webhooks.deliveries import Delivery

_QUIET = {"synchronize_session": False}
_LEFT_DOCUMENTS = and_(Job.type == "ingest", Job.finished_at.is_not(None), Job.status != "succeeded")
# The columns that name a job in rows which go with it. The ledger names it too, and stays; a document outlives its job.
_ABOUT = (
    JobAttempt.job_id,
    JobCheckpoint.job_id,
    JobOutput.job_id,
    JobVectors.job_id,
    IdempotencyKey.job_id,
    Delivery.job_id,
    SummaryResult.job_id,
    SummaryResult.summary_id,
    Batch.job_id,
    BatchResult.batch_id,
)


def own(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Job | None:
    """The job, if it is this tenant's."""
    return session.scalars(select(Job).where(Job.id == job_id, Job.tenant_id == tenant_id)).one_or_none()


def any_ended(kept_s: float) -> ColumnElement[bool]:
    """The condition that some job that is no child ended so long ago: one probe of `jobs_ended`, whatever is known of
    how many there are."""
    rests = (Job.parent_id.is_(None), Job.finished_at.is_not(None))
    first = select(func.min(Job.finished_at)).where(*rests).scalar_subquery()
    return first < func.now() - dt.timedelta(seconds=kept_s)


def due(session: Session, kept_s: float, limit: int) -> Sequence[uuid.UUID]:
    """Jobs that ended so long ago, the longest ended first, at most `limit`; by `jobs_ended`.

    None that is a child, that still has children which haven't ended, or of which a webhook is still to be told; and
    none that another transaction holds.
    """
    untold = exists().where(Delivery.job_id == Job.id, Delivery.status == "pending").correlate(Job)
    query = select(Job.id).where(*_ended(kept_s), no_child_left(), ~untold).order_by(Job.finished_at).limit(limit)
    return session.scalars(query.with_for_update(skip_locked=True)).all()


def _ended(kept_s: float) -> tuple[ColumnElement[bool], ...]:
    return Job.parent_id.is_(None), Job.finished_at < func.now() - dt.timedelta(seconds=kept_s)


def in_parts(session: Session, job_ids: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Those of these jobs that are removed one by one, each in several transactions: they have children, or have left
    documents."""
    child = aliased(Job)
    has_children = exists().where(child.parent_id == Job.id).correlate(Job)
    return list(session.scalars(select(Job.id).where(Job.id.in_(job_ids), or_(has_children, _LEFT_DOCUMENTS))))


def leaving(session: Session, job_ids: Collection[uuid.UUID]) -> Sequence[Row[uuid.UUID, uuid.UUID, str, Any, Any]]:
    """Id, tenant, status and error of those of these jobs that may have left documents."""
    told = (Job.id, Job.tenant_id, Job.status, Job.error_code, Job.error_message)
    return session.execute(select(*told).where(Job.id.in_(job_ids), _LEFT_DOCUMENTS)).all()


def youngest(session: Session, job_id: uuid.UUID, limit: int) -> Sequence[uuid.UUID]:
    """Of a job and all that descend from it some, at most `limit`, that have no children: the job itself is the last.

    None where one that was met on the way hasn't ended.
    """
    found: Sequence[uuid.UUID] = [job_id]
    while True:
        query = select(Job.id, Job.finished_at).where(Job.parent_id.in_(found)).limit(limit)
        children = session.execute(query).all()
        if any(row.finished_at is None for row in children):
            return []
        if not children:
            return found
        found = [row.id for row in children]


def thin(session: Session, job_ids: Collection[uuid.UUID], limit: int) -> bool:
    """Removes some rows, at most `limit` of each table, that tell of lines of ended batches; whether there were any.

    A batch may have 50,000 of them, which would all go with it at once.
    """
    gone = 0
    for table, batch, row in _OF_LINES:
        some = select(batch, row).where(batch.in_(job_ids)).limit(limit)
        result = session.execute(delete(table).where(tuple_(batch, row).in_(some)), execution_options=_QUIET)
        gone += cast(CursorResult[Any], result).rowcount
    return gone > 0


_OF_LINES = (
    (BatchResult, BatchResult.batch_id, BatchResult.number),
    (BatchTwin, BatchTwin.job_id, BatchTwin.place),
    (LineDigest, LineDigest.batch_id, LineDigest.place),
)


def remove(session: Session, job_ids: Collection[uuid.UUID], *, waits: bool = False) -> list[uuid.UUID]:
    """Removes those of these jobs that have ended, with all rows about them; which they were. Idempotent.

    Their children must be gone: none is removed here. A job that another transaction holds is left, unless this `waits`
    for it.
    """
    return list(session.scalars(_remove(waits), {"job_ids": list(job_ids)}, execution_options=_QUIET))


@cache
def _remove(waits: bool) -> Any:
    given = bindparam("job_ids", type_=ARRAY(UUID))
    rows = select(Job.id).where(Job.id == func.any(given), Job.finished_at.is_not(None))
    ended = rows.with_for_update(skip_locked=not waits).cte("ended")
    # As an array: of a join PostgreSQL may think that it had better read the other tables whole.
    theirs = func.any(func.array(select(ended.c.id).scalar_subquery()))
    about = [
        delete(column.class_).where(column == theirs).cte(f"about_{number}") for number, column in enumerate(_ABOUT)
    ]
    return delete(Job).where(Job.id == theirs).returning(Job.id).add_cte(*about)
