"""A kind of job that exists in this test only: one made of others. And the worker that knows it.

`python -m tests.faults.family …` starts a worker as it ships that knows the kind's stages too. `adopt` makes a child
of each line and waits for them, `collect` counts how they ended.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from db import families
from tasks.jobs import family, stages
from tasks.jobs.family import Child
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds import KINDS
from tasks.kinds.kind import Kind
from tasks.models.catalog import Catalog
from workers import serve
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import STAGES

NAME, ADOPT, COLLECT = "family", "adopt", "collect"
_LOT = 3  # children written down in one transaction


@dataclass(frozen=True, slots=True)
class Lines:
    """Prompts, each of which is to be answered by a job of its own."""

    prompts: tuple[str, ...]

    def to_json(self) -> Stored:
        return Stored({"prompts": list(self.prompts)}, {})


class FamilyKind(Kind[Lines]):
    name = NAME

    def parse(self, stored: Stored) -> Lines:
        return Lines(tuple(stored.input["prompts"]))

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Lines]) -> Plan:
        del session, models, caller
        assert asked.model is not None
        return Plan(asked, ADOPT, asked.model, asked.model)


def adopt(slot: Slot, attempt: Attempt, publisher: Publisher) -> Onward:
    """A child for each line, lot by lot. Raises `Fenced`."""
    del publisher
    claim = attempt.claim
    lines: Lines = KINDS[NAME].parse(claim.asked)
    children = [_child(prompt, place, claim.model) for place, prompt in enumerate(lines.prompts)]
    for first in range(0, len(children), _LOT):
        attempt.check()
        with slot.sessions.begin() as session:
            queues = family.adopt(session, claim.job_id, claim.attempt, children[first : first + _LOT])
        for queue in queues:
            slot.wake(queue)
    return Onward(COLLECT, claim.model, wait_for_children=True)


def collect(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome:
    """How many children ended in which way."""
    del publisher
    with slot.sessions.begin() as session:
        counts = families.counts(session, attempt.claim.job_id)
    return Outcome(Status.SUCCEEDED, result={"children": counts})


def _child(prompt: str, place: int, model: str) -> Child:
    request: Any = KINDS["generate"].parse(Stored({"prompt": prompt}, {"temperature": 0}))
    return Child(Plan(Submission("generate", model, request), stages.GENERATE, model, model), place)


KINDS[NAME] = FamilyKind()
STAGES[ADOPT] = adopt
STAGES[COLLECT] = collect


if __name__ == "__main__":
    serve.main()
