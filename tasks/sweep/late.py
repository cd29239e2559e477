"""Chores: jobs that didn't start in time, and jobs that have been running for longer than they may."""

from tasks.jobs import endings
from tasks.sweep.chore import FollowUp, Sweep

_EXPIRED_AT_ONCE = 500
_STOPPED_AT_ONCE = 50  # each has its own stream to be read


def expire(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        return FollowUp(ends=endings.expire(session, _EXPIRED_AT_ONCE))


def stop_overdue(sweep: Sweep) -> FollowUp:
    return FollowUp(ends=endings.stop_overdue(sweep, sweep.client, _STOPPED_AT_ONCE, sweep.ttl_s))
