"""Chore: a queue in which jobs wait for their turn is looked at again, should a wake-up have been lost."""

from sqlalchemy import Select, literal, select

from db import jobs
from db.jobs import Job
from tasks.sweep.chore import FollowUp, Sweep


def refill(sweep: Sweep) -> FollowUp:
    with sweep.begin() as session:
        return FollowUp(queues=jobs.queues_waiting(session))


def wanted(_: float) -> Select[int]:
    return select(literal(1)).where(Job.status == "queued")
