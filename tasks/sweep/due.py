"""Chore: scheduled jobs whose time has come wait for their turn."""

import structlog
from sqlalchemy import func

from db import jobs, turns
from db.jobs import Job
from tasks.jobs import lifecycle
from tasks.jobs.lifecycle import Status
from tasks.sweep.chore import NOTHING, FollowUp, Sweep

log = structlog.get_logger(__name__)

_QUEUED_AT_ONCE = 500


def queue(sweep: Sweep) -> FollowUp:
    """Moves them in turns between tenants; those that are too late to start stay, for `late.expire`."""
    scheduled = Job.status == Status.SCHEDULED
    due = turns.each_in_turn(scheduled, Job.due_at <= func.now(), Job.due_at.asc(), _QUEUED_AT_ONCE)
    with sweep.begin() as session:
        moved = lifecycle.move(session, Status.QUEUED, lifecycle.unlocked(Job.id.in_(due), jobs.may_start()))
    if moved:
        log.info("came_due", jobs=len(moved))
    return NOTHING  # `waiting.refill` finds their queues
