"""The second stage of a batch: a job is made for each line, lot by lot. The first run while others are written."""

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from dialects.openai import lines as dialect
from dialects.openai.lines import Line, LineRefused
from tasks import errors, failpoints
from tasks.batches import order, states, twins
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
from workers.stages.batch_lines import Planner
from workers.stages.check_lines import GONE

_LOT, _LOT_BYTES = 200, 4 * 1024 * 1024
_MORE_BYTES = _LOT_BYTES // 4  # may come with a line that goes on from something, and up to eight times as many


def write_lines(slot: Slot, attempt: Attempt, publisher: Publisher) -> Onward:  # noqa: ARG001 it has nothing to tell
    """Makes jobs of a slice of the file. At its end the batch waits for them; or what is left to do is to end it,
    where it was told to, or where the file is gone. A line that can't be answered becomes a job that has failed."""
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
    except errors.NotFound:
        with slot.sessions.begin() as session:
            states.failed(session, claim.job_id, claim.attempt, [GONE])
        return Onward(stages.GATHER_LINES, catalog.CONTROL, claim.stage_input or {})
    if part.over:
        return Onward(stages.GATHER_LINES, catalog.CONTROL, wait_for_children=True)
    part.progressed()
    return Onward(stages.WRITE_LINES, catalog.CONTROL, handed | part.where | writer.where)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line as it is in the file; and as it is read, unless it can't be any more."""

    raw: bytes
    line: Line | LineRefused


_Planned = tuple[Line, Plan]
_Refused = tuple[Child, tuple[str, str]]  # with its error's code and message


class _Writer:
    """Makes jobs of lines, of which `place` are before the next; none of twins. They run in the order of their ids."""

    def __init__(
        self, slot: Slot, attempt: Attempt, endpoint: str, ends_at: dt.datetime, handed: Mapping[str, Any]
    ) -> None:
        self._slot, self._attempt, self._endpoint = slot, attempt, endpoint
        self._ends_at, self._ranks = ends_at, Ranks(handed.get("order", ""))
        self._twins = Twins.unpacked(handed.get("twins", "")).of
        self.place: int = handed.get("place", 0)
        self._around = batch_lines.surroundings(slot)
        self._planner = Planner.after(self._around.models, batch_lines.caller(attempt), handed)
        self._lot: list[_Entry] = []
        self._bytes = 0

    @property
    def where(self) -> dict[str, Any]:
        """Where the next slice's goes on."""
        return {"place": self.place, **self._planner.where}

    def add(self, line: FileLine) -> None:
        """Raises `Fenced`."""
        if line.raw is None or not line.raw.strip():
            return
        try:
            read: Line | LineRefused = dialect.read(line.raw, self._endpoint, self._around)
        except LineRefused as error:
            read = error
        self._lot.append(_Entry(line.raw, read))
        self._bytes += len(line.raw)
        if isinstance(read, Line) and read.goes_on_from is not None:
            self._bytes += _MORE_BYTES
        if len(self._lot) == _LOT or self._bytes >= _LOT_BYTES:
            self.write()

    def write(self) -> None:
        """Raises `Fenced`."""
        claim = self._attempt.claim
        placed = list(enumerate(self._lot, self.place))
        with self._slot.sessions.begin() as session:
            own = {place: entry for place, entry in placed if place not in self._twins}
            done = self._of_earlier(session, own)
            planned, refused = self._planned(
                session, {place: entry for place, entry in own.items() if place not in done}
            )
            done = self._of_equals(session, planned)
            children = [self._child(place, *planned[place]) for place in planned if place not in done]
            if refused:
                states.refused(session, claim.job_id, claim.attempt, refused)
            queues = family.adopt(session, claim.job_id, claim.attempt, children) if children else set()
            found = [(place, self._twins[place], self._name(entry)) for place, entry in placed if place not in own]
            states.twins(session, claim.job_id, claim.attempt, found)
        failpoints.passed("batches.after_lot")
        for queue in queues:
            self._slot.wake(queue)
        self.place += len(self._lot)
        self._lot, self._bytes = [], 0

    def _of_earlier(self, session: Session, entries: Mapping[int, _Entry]) -> set[int]:
        """Places of lines that the batch of which this is a retry has answers to, which are this one's now.

        Raises `Fenced`.
        """
        claim = self._attempt.claim
        earlier = BatchKind().parse(claim.asked).new.takes_over
        if earlier is None or not entries:
            return set()
        wanted = [Wanted(place, self._name(entry), self._id(place)) for place, entry in entries.items()]
        return states.take_over(session, claim.job_id, claim.attempt, earlier, wanted)

    def _planned(self, session: Session, entries: Mapping[int, _Entry]) -> tuple[dict[int, _Planned], list[_Refused]]:
        """Lines by their places, each with its plan; and those that can't be answered, with why not."""
        planned, refused = dict[int, _Planned](), list[_Refused]()
        for place, entry in entries.items():
            try:
                if isinstance(entry.line, LineRefused):
                    raise entry.line
                planned[place] = entry.line, self._planner.plan(session, entry.line)
            except errors.InvalidField as error:
                refused.append((self._unanswerable(entry, place, error), (error.code, str(error)[:500])))
        return planned, refused

    def _of_equals(self, session: Session, planned: Mapping[int, _Planned]) -> set[int]:
        """Places of lines that any batch of the tenant's has answers to, which are this one's now. Raises `Fenced`."""
        digests = {place: twins.digest(line.asked, line.about) for place, (line, _) in planned.items()}
        known = {place: digest for place, digest in digests.items() if digest is not None}
        if not known:
            return set()
        claim, made_by, wanted = self._attempt.claim, self._slot.identities(session), list[Wanted]()
        for place, digest in known.items():
            line, plan = planned[place]
            if (identity := made_by.get(plan.model)) is not None:
                name = twins.known_as(digest, claim.tenant_id, plan.model, identity)
                wanted.append(Wanted(place, line.custom_id, self._id(place), name))
        return states.share(session, claim.job_id, claim.attempt, claim.tenant_id, wanted) if wanted else set()

    def _id(self, place: int) -> uuid.UUID:
        return order.line_id(self._attempt.claim.job_id, self._ends_at, self._ranks.of_line(place), place)

    def _name(self, entry: _Entry) -> str:
        return entry.line.custom_id if isinstance(entry.line, Line) else dialect.custom_id(entry.raw, self._endpoint)

    def _child(self, place: int, line: Line, plan: Plan) -> Child:
        return Child(line.noted(replace(plan, job_id=self._id(place))), place, line.custom_id)

    def _unanswerable(self, entry: _Entry, place: int, error: errors.InvalidField) -> Child:
        asked = dialect.unanswerable(entry.raw, self._endpoint, error)
        plan = Plan(asked, stages.WRITE_LINES, catalog.CONTROL, asked.model or catalog.CONTROL, self._id(place))
        return Child(plan, place, self._name(entry))
