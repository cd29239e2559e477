"""The second stage of a batch: a job is made for each line, lot by lot. The first run while others are written."""

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from dialects.openai import lines as dialect
from dialects.openai.lines import Line, LineRefused
from tasks import errors, failpoints
from tasks.batches import order, states, twins
from tasks.batches.batches import FileError
from tasks.batches.lines import FileLine
from tasks.batches.order import Ranks
from tasks.batches.states import Wanted
from tasks.batches.twins import Twins
from tasks.jobs import family, stages
from tasks.jobs.family import Child
from tasks.jobs.outcomes import Onward
from tasks.jobs.requests import Plan
from tasks.kinds.batch import BatchKind
from tasks.models import catalog
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import batch_lines
from workers.stages.check_lines import GONE

_LOT, _LOT_BYTES = 200, 4 * 1024 * 1024


def write_lines(slot: Slot, attempt: Attempt, publisher: Publisher) -> Onward:  # noqa: ARG001 it has nothing to tell
    """Makes jobs of a slice of the file. At its end the batch waits for them; or what is left to do is to end it,
    where it was told to, or where a line can't be asked any more."""
    claim = attempt.claim
    with slot.sessions.begin() as session:
        if states.ending(session, claim.job_id) is not None:
            return Onward(stages.GATHER_LINES, catalog.CONTROL, claim.stage_input or {})
    part = batch_lines.begun(slot, attempt)
    handed = claim.stage_input or {}
    with slot.sessions.begin() as session:
        ends_at = states.ends_at(session, claim.job_id)
    writer = _Writer(slot, attempt, batch_lines.endpoint(attempt), ends_at, handed)
    try:
        with slot.line_turns.taken(claim.tenant_id, claim.job_id, attempt.check):
            for line in part.lines():
                writer.add(line)
            writer.write()
    except (errors.NotFound, LineRefused) as error:
        found = FileError(error.code, str(error), param=error.field) if isinstance(error, LineRefused) else GONE
        with slot.sessions.begin() as session:
            states.failed(session, claim.job_id, claim.attempt, [found])
        return Onward(stages.GATHER_LINES, catalog.CONTROL, claim.stage_input or {})
    if part.over:
        return Onward(stages.GATHER_LINES, catalog.CONTROL, wait_for_children=True)
    part.progressed()
    return Onward(stages.WRITE_LINES, catalog.CONTROL, handed | part.where | {"place": writer.place})


class _Writer:
    """Makes jobs of lines, of which `place` are before the next; none of twins. They run in the order of their ids."""

    def __init__(
        self, slot: Slot, attempt: Attempt, endpoint: str, ends_at: dt.datetime, handed: Mapping[str, Any]
    ) -> None:
        self._slot, self._attempt, self._endpoint = slot, attempt, endpoint
        self._ends_at, self._ranks = ends_at, Ranks(handed.get("ranks", ""))
        self._twins = Twins.unpacked(handed.get("twins", "")).of
        self.place: int = handed.get("place", 0)
        self._around = batch_lines.surroundings(slot)
        self._lot: list[Line] = []
        self._bytes = 0

    def add(self, line: FileLine) -> None:
        """Raises `LineRefused` for what was right before: a model that it asks is gone."""
        if line.raw is None or not line.raw.strip():
            return
        self._lot.append(dialect.read(line.raw, self._endpoint, self._around))
        self._bytes += len(line.raw)
        if len(self._lot) == _LOT or self._bytes >= _LOT_BYTES:
            self.write()

    def write(self) -> None:
        """Raises `LineRefused`, `Fenced`."""
        claim = self._attempt.claim
        with self._slot.sessions.begin() as session:
            lines = self._untwinned()
            done = self._of_earlier(session, lines)
            plans = {place: self._plan(session, line) for place, line in lines.items() if place not in done}
            done |= self._of_equals(session, lines, plans)
            children = [self._child(lines[place], place, plan) for place, plan in plans.items() if place not in done]
            queues = family.adopt(session, claim.job_id, claim.attempt, children) if children else set()
            states.twins(session, claim.job_id, claim.attempt, self._twinned())
        failpoints.passed("batches.after_lot")
        for queue in queues:
            self._slot.wake(queue)
        self.place += len(self._lot)
        self._lot, self._bytes = [], 0

    def _untwinned(self) -> dict[int, Line]:
        """The lines of the lot that no other of the batch answers, by their places."""
        return {place: line for place, line in enumerate(self._lot, self.place) if place not in self._twins}

    def _twinned(self) -> list[tuple[int, int, str]]:
        """The others: the place of each, that of the line that answers it, and what it is called."""
        placed = enumerate(self._lot, self.place)
        return [(place, self._twins[place], line.custom_id) for place, line in placed if place in self._twins]

    def _of_earlier(self, session: Session, lines: Mapping[int, Line]) -> set[int]:
        """Places of lines that the batch of which this is a retry has answers to, which are this one's now.

        Raises `Fenced`.
        """
        claim = self._attempt.claim
        earlier = BatchKind().parse(claim.asked).new.takes_over
        if earlier is None or not lines:
            return set()
        wanted = [Wanted(place, line.custom_id, self._id(place)) for place, line in lines.items()]
        return states.take_over(session, claim.job_id, claim.attempt, earlier, wanted)

    def _of_equals(self, session: Session, lines: Mapping[int, Line], plans: Mapping[int, Plan]) -> set[int]:
        """Places of planned lines that any batch of the tenant's has an answer to, which are this one's now.

        Raises `Fenced`.
        """
        digests = {place: twins.digest(lines[place].asked, lines[place].about) for place in plans}
        known = {place: digest for place, digest in digests.items() if digest is not None}
        if not known:
            return set()
        claim, made_by, wanted = self._attempt.claim, self._slot.identities(session), list[Wanted]()
        for place, digest in known.items():
            model = plans[place].model
            if (identity := made_by.get(model)) is not None:
                name = twins.known_as(digest, claim.tenant_id, model, identity)
                wanted.append(Wanted(place, lines[place].custom_id, self._id(place), name))
        return states.share(session, claim.job_id, claim.attempt, claim.tenant_id, wanted) if wanted else set()

    def _id(self, place: int) -> uuid.UUID:
        return order.line_id(self._attempt.claim.job_id, self._ends_at, self._ranks.of_line(place), place)

    def _plan(self, session: Session, line: Line) -> Plan:
        return batch_lines.plan(session, self._around.models, batch_lines.caller(self._attempt), line)

    def _child(self, line: Line, place: int, plan: Plan) -> Child:
        return Child(line.noted(replace(plan, job_id=self._id(place))), place, line.custom_id)
