"""Chore: jobs whose worker's lease ran out go back into the window, or end as poison."""

import datetime as dt

import structlog
from sqlalchemy import ColumnElement, Select, and_, func, literal, not_, select
from sqlalchemy.orm import Session

from db import jobs
from db.jobs import Job
from tasks import errors, ids
from tasks.jobs import endings, lifecycle
from tasks.jobs.lifecycle import Status
from tasks.sweep.chore import NOTHING, FollowUp, Sweep
from tasks.sweep.lost_messages import EN_ROUTE_S

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
        doomed = [
            endings.doom(session, job, Status.FAILED, _poison(job), how="lost", still=orphaned)
            for job in jobs.unlocked(session, poison)
        ]
    return FollowUp(ends=endings.end_many_running(sweep, sweep.client, doomed, sweep.ttl_s))


def wanted(lease_s: float) -> Select[int]:
    return select(literal(1)).where(jobs.is_orphaned(lease_s))


def _send_back(session: Session, which: ColumnElement[bool]) -> None:
    """Counts a crash and lets the jobs wait in the window, sent so long ago that this round sends them again."""
    orphans = lifecycle.leave(
        session,
        Status.DISPATCHED,
        "lost",
        lifecycle.unlocked(which),
        crashes=Job.crashes + 1,
        dispatched_at=func.clock_timestamp() - dt.timedelta(seconds=EN_ROUTE_S),
    )
    for job in orphans:
        log.warning("lease_ran_out", job_id=ids.show(job.id), attempt=job.attempt, worker=job.worker_id)


def _poison(job: Job) -> tuple[str, str]:
    return errors.Poison.code, f"workers died while running this job: {job.crashes + 1}"
