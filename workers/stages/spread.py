"""A request for several answers: a child for each, which has its own stream, slot and continuation."""

from dataclasses import replace

from tasks import ids
from tasks.jobs import family, stages
from tasks.jobs.family import Child
from tasks.jobs.outcomes import Onward
from tasks.jobs.requests import Plan, Submission
from tasks.kinds import KINDS
from tasks.kinds.kind import Answering
from tasks.models import catalog
from tasks.streams.events import Resumed, Started
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot

_LOT = 32  # children written down in one transaction


def spread(slot: Slot, attempt: Attempt, publisher: Publisher) -> Onward:
    """Writes the children down, lot by lot, and tells that they are there; the job goes on when all have ended.

    Raises `Fenced`.
    """
    claim = attempt.claim
    kind = KINDS[claim.type]
    assert isinstance(kind, Answering)
    asked = kind.parse(claim.asked)
    plan = Plan(Submission(claim.type, claim.model, asked), stages.GENERATE, claim.model, claim.model)
    with slot.sessions() as session:  # a line's have their line's place in the order, not one before their batch
        named = ids.of_choice if family.is_child(session, claim.job_id) else ids.derived
    children = [
        Child(replace(plan, job_id=named(claim.job_id, place), asked=replace(plan.asked, request=single)), place)
        for place, single in enumerate(kind.singles(asked))
    ]
    for first in range(0, len(children), _LOT):
        attempt.check()
        with slot.sessions.begin() as session:
            queues = family.adopt(session, claim.job_id, claim.attempt, children[first : first + _LOT])
        for queue in queues:
            slot.wake(queue)
    told = publisher.transcript.entries  # by an attempt that died before the job began to wait
    publisher.transcript.add(Resumed(claim.attempt) if told else Started(claim.attempt, slot.worker_id))
    publisher.flush()
    return Onward(stages.GATHER, catalog.CONTROL, wait_for_children=True)
