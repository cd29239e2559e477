"""Chore: scheduled jobs whose time has come wait for their turn."""

import uuid

import structlog
from sqlalchemy import Select, func

from db import jobs, once, turns
from db.jobs import Job
from tasks.jobs import lifecycle
from tasks.jobs.lifecycle import Status
from tasks.sweep.chore import NOTHING, FollowUp, Sweep

log = structlog.get_logger(__name__)

_QUEUED_AT_ONCE = 500


def queue(sweep: Sweep) -> FollowUp:
    """Moves them in turns between tenants; those that are too late to start stay, for `late.expire`."""
    with sweep.begin() as session:
        which = (once.among(Job.id, _due(_QUEUED_AT_ONCE)), jobs.may_start())
        moved = lifecycle.move(session, Status.QUEUED, lifecycle.unlocked(*which))
    if moved:
        log.info("came_due", jobs=len(moved))
    return NOTHING  # `waiting.refill` finds their queues


def wanted(_: float) -> Select[uuid.UUID]:
    return _due(1)


def _due(limit: int) -> Select[uuid.UUID]:
    return turns.each_in_turn(Job.status == Status.SCHEDULED, Job.due_at <= func.now(), Job.due_at.asc(), limit)
