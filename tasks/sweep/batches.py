"""Chores: batches whose window has ended are told to end, and those that were told so don't go on waiting."""

import uuid

from sqlalchemy import Select

from db import batches as table
from tasks.batches import batches
from tasks.sweep.chore import FollowUp, Sweep

_AT_ONCE = 100


def expire(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        return FollowUp(queues=batches.expire(session, _AT_ONCE))


def are_late(_: float) -> Select[uuid.UUID]:
    return table.late(1)


def hurry(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        return FollowUp(queues=batches.hurry(session, _AT_ONCE))


def want_to_hurry(_: float) -> Select[uuid.UUID]:
    return table.stuck(1)
