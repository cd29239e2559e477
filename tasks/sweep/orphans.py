"""Chore: jobs whose worker's lease ran out go back into the window, or end as poison."""

import datetime as dt
import uuid
from collections.abc import Sequence

import redis
import structlog
from sqlalchemy import ColumnElement, and_, func, not_, select
from sqlalchemy.orm import Session

from db import attempts, jobs
from db.jobs import Job
from tasks import errors, ids
from tasks.jobs import endings, lifecycle
from tasks.jobs.endings import Closing
from tasks.jobs.lifecycle import Status
from tasks.sweep.chore import NOTHING, FollowUp, Sweep
from tasks.sweep.lost_messages import SETTLE_S

log = structlog.get_logger(__name__)


def reclaim(sweep: Sweep) -> FollowUp:
    """Takes running jobs from workers whose lease ran out; ends those that took too many workers with them.

    Only in a steady sweep: when PostgreSQL has been away or its clock was set, no heartbeat could be kept, and silence
    proves no death (docs/adr/0006).
    """
    if not sweep.steady:
        return NOTHING
    with sweep.begin() as session:
        orphaned = jobs.is_orphaned(sweep.lease_s)
        poison = and_(orphaned, Job.crashes >= Job.chances - 1)
        _send_back(session, and_(orphaned, not_(poison)))
        found = _unlocked(session, poison)
        ended = endings.each(session, found, lambda job_id: _end(session, sweep.client, job_id, sweep.ttl_s))
    return FollowUp(ends=ended)


def _send_back(session: Session, which: ColumnElement[bool]) -> None:
    """Counts a crash and lets the jobs wait in the window, sent so long ago that this round sends them again."""
    orphans = lifecycle.move(
        session,
        Status.DISPATCHED,
        Job.id.in_(_unlocked(session, which)),
        crashes=Job.crashes + 1,
        dispatched_at=func.clock_timestamp() - dt.timedelta(seconds=SETTLE_S),
    )
    for job in orphans:
        attempts.end_open(session, job.id, job.attempt, "lost")
        log.warning("lease_ran_out", job_id=ids.show(job.id), attempt=job.attempt, worker=job.worker_id)


def _end(session: Session, client: redis.Redis, job_id: uuid.UUID, ttl_s: int) -> Closing | None:
    job = session.get_one(Job, job_id, populate_existing=True)
    attempts.end_open(session, job_id, job.attempt, "lost")
    error = (errors.Poison.code, f"workers died while running this job: {job.crashes + 1}")
    return endings.close(session, client, job_id, Status.FAILED, error, ttl_s)


def _unlocked(session: Session, which: ColumnElement[bool]) -> Sequence[uuid.UUID]:
    """The jobs that match, locked; those that somebody else holds have their turn in another round."""
    query = select(Job.id).where(which).with_for_update(skip_locked=True, key_share=True)
    return session.scalars(query).all()
