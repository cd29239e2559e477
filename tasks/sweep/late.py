"""Chores: jobs that didn't start in time, and jobs that have been running for longer than they may."""

import uuid

from sqlalchemy import Select

from db import jobs, turns
from db.jobs import Job
from tasks.jobs import endings
from tasks.sweep.chore import FollowUp, Sweep

_EXPIRED_AT_ONCE = 500
_STOPPED_AT_ONCE = 50  # each has its own stream to be read


def expire(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        return FollowUp(ends=endings.expire(session, _EXPIRED_AT_ONCE))


def are_late(_: float) -> Select[uuid.UUID]:
    return turns.each_in_turn(jobs.EXPIRES, jobs.is_late(), Job.expires_at.asc(), 1)


def stop_overdue(sweep: Sweep) -> FollowUp:
    return FollowUp(ends=endings.stop_overdue(sweep, sweep.client, _STOPPED_AT_ONCE, sweep.ttl_s))


def are_overdue(_: float) -> Select[uuid.UUID]:
    return turns.each_in_turn(jobs.HAS_DEADLINE, jobs.is_overdue(), Job.started_at.asc(), 1)
