"""Chore: a queue in which jobs wait for their turn is looked at again, should a wake-up have been lost."""

from db import jobs
from tasks.sweep.chore import FollowUp, Sweep


def refill(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        return FollowUp(queues=jobs.queues_waiting(session))
