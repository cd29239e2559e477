"""Chores: parents go on when their children have ended, and children end when their parent has."""

import uuid

from sqlalchemy import Select

from db import families
from tasks.jobs import endings, family
from tasks.jobs.endings import CHILDREN_AT_ONCE
from tasks.sweep.chore import FollowUp, Sweep

_PARENTS_AT_ONCE = 100


def move_on(sweep: Sweep) -> FollowUp:
    """Moves on parents that their last child's end left waiting."""
    with sweep.begin() as session:
        return FollowUp(queues=sorted(family.resume(session, _PARENTS_AT_ONCE)))


def wants_to_move_on(_: float) -> Select[uuid.UUID]:
    return families.waiting_in_vain(1)


def end_children(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        bereft = families.bereft(session, _PARENTS_AT_ONCE)
    return FollowUp(ends=endings.end_children(sweep, sweep.client, bereft, CHILDREN_AT_ONCE, sweep.ttl_s))


def wants_to_end_children(_: float) -> Select[uuid.UUID]:
    return families.bereft_parents(1)
