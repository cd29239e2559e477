"""Chore: batch jobs that have stood still behind interactive work for too long go first, one a queue."""

import structlog
from sqlalchemy import SelectBase, literal, select, union_all

from db import workers
from db.jobs import Job
from tasks import ids
from tasks.queues import window
from tasks.sweep.chore import FollowUp, Sweep

log = structlog.get_logger(__name__)


def promote(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        strengths = workers.strengths(session, sweep.lease_s)
        busy = [queue for queue, strength in strengths.items() if not strength.free]
        wake_ups = [wake_up for queue in busy if (wake_up := window.promote_starved(session, queue))]
    for wake_up in wake_ups:
        log.info("promoted", job_id=ids.show(wake_up.job_id))
    return FollowUp(wake_ups=wake_ups)


def wanted(_: float) -> SelectBase:
    """Finds whatever waits behind a window, and batch work that stands in one."""
    in_window = select(literal(1)).where(Job.status == "dispatched", Job.lane == "batch")
    return union_all(select(literal(1)).where(Job.status == "queued"), in_window)
