"""What the stages that read a batch's file have in common: they read it slice by slice, and hand on where they stand.

So a worker that dies repeats a slice at most, other tenants' batches have their turns between two slices, and the
worker's other threads wait for no more than one of them at a time: what a slice takes is the interpreter.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import structlog
from sqlalchemy.orm import Session

from dialects.openai import lines as dialect
from dialects.openai.lines import Line, Surroundings
from tasks import errors, ids, kinds, strictjson
from tasks.batches import lines, states
from tasks.batches.lines import FileLine
from tasks.conversations import items as conversations
from tasks.conversations.items import Item
from tasks.files import files
from tasks.jobs import fence
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.requests import Plan, Submission
from tasks.keys import Caller
from tasks.kinds import preceding
from tasks.kinds.response import Asked
from tasks.models import catalog, choosing
from tasks.models.catalog import Catalog
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot

log = structlog.get_logger(__name__)

SLICE_S = 1.0
_STORE_AWAY_S = 15.0

Stage = Callable[[Slot, Attempt, Publisher], Outcome | Onward]


def bearing(stage: Stage) -> Stage:
    """The stage of a batch, which waits where a store can't be had: that is no failure of the batch's. Only one that
    has been ending for a day has waited long enough: then it fails."""

    @wraps(stage)
    def borne(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome | Onward:
        claim = attempt.claim
        try:
            return stage(slot, attempt, publisher)
        except errors.Unavailable as error:
            with slot.sessions.begin() as session:
                if states.has_waited_enough(session, claim.job_id):
                    raise
                handed = fence.handed(session, claim.job_id)
            log.warning("store_away", error=str(error))
            return Onward(claim.stage, catalog.CONTROL, handed, after_s=_STORE_AWAY_S)

    return borne


@dataclass(slots=True)
class Slice:
    """A part of a batch's file, from byte `at` on, after `number` lines: as much as is read in `SLICE_S`, from when its
    first line is asked for: until then its turn was waited for."""

    slot: Slot
    attempt: Attempt
    at: int
    number: int
    over: bool = False

    @property
    def where(self) -> dict[str, Any]:
        """Where the next one begins."""
        return {"at": self.at, "number": self.number}

    def lines(self) -> Iterator[FileLine]:
        """Its lines, each of which is done when the next is asked for; `over` at the end of the file.

        Raises `NotFound` where the file is gone, `Unavailable` where it can't be had now, and `Cancelled`.
        """
        until = time.monotonic() + SLICE_S
        owner, file_id = caller(self.attempt), input_file(self.attempt)
        content = files.content(self.slot.stores, owner, file_id)
        try:
            for line in lines.of(content.read(self.at), self.at, self.number):
                self.attempt.check()
                yield line
                self.at, self.number = line.next_at, line.number
                if time.monotonic() > until:
                    return
        except errors.Unavailable:
            with self.slot.sessions.begin() as session:
                files.get(session, owner, file_id)  # raises `NotFound` where that is why
            raise
        self.over = True

    def next(self) -> "Slice":
        """The one after it."""
        return Slice(self.slot, self.attempt, self.at, self.number)

    def progressed(self) -> None:
        """Notes that it came so far. Raises `Fenced`."""
        claim = self.attempt.claim
        with self.slot.sessions.begin() as session:
            fence.progressed(session, claim.job_id, claim.attempt)


def begun(slot: Slot, attempt: Attempt) -> Slice:
    """The slice that this attempt is to read."""
    where = attempt.claim.stage_input or {}
    return Slice(slot, attempt, where.get("at", 0), where.get("number", 0))


def caller(attempt: Attempt) -> Caller:
    """The tenant whose batch it is."""
    return Caller(attempt.claim.tenant_id, "")


def endpoint(attempt: Attempt) -> str:
    """What its lines are for."""
    return str(attempt.claim.asked.input["endpoint"])


def input_file(attempt: Attempt) -> uuid.UUID:
    """The file that they are in."""
    file_id = ids.parse(attempt.claim.asked.input["input_file_id"], ids.FILE)
    assert isinstance(file_id, uuid.UUID)
    return file_id


def model(models: Catalog, line: Line) -> str:
    """The model that a line asks. Raises `LineRefused`."""
    serves = kinds.KINDS[line.asked.type].serves
    assert serves is not None
    try:
        return choosing.model_for(models, serves, line.asked.model).name
    except errors.ModelUnknown as error:
        raise dialect.refused(error) from error


@dataclass(slots=True)
class Planner:
    """Plans the jobs of a batch's lines, in the order of the file. `copied` is how many bytes those so far have from
    elsewhere, of what they go on from, and how many were read for those that can't be answered; `put_in` is how many
    items each conversation will have once they are put in, and of how many bytes."""

    models: Catalog
    owner: Caller
    copied: int = 0
    put_in: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def after(cls, models: Catalog, owner: Caller, handed: Mapping[str, Any]) -> "Planner":
        """The one that goes on from the `where` of the slice before."""
        put_in = {name: (items, size) for name, (items, size) in handed.get("put_in", {}).items()}
        return cls(models, owner, handed.get("copied", 0), put_in)

    @property
    def where(self) -> dict[str, Any]:
        """What the next slice's goes on from."""
        return {"copied": self.copied, "put_in": self.put_in}

    def plan(self, session: Session, line: Line) -> Plan:
        """Raises `InvalidField` for what can't be answered, whose field is the request's: the lines beside it can."""
        if line.missing is not None:
            raise line.missing
        if line.goes_on_from is None:
            return kinds.plan(session, self.models, self.owner, line.asked)
        where, name = line.goes_on_from
        if self.copied >= lines.MAX_COPIED_BYTES:
            message = f"the lines before it have all of the {lines.MAX_COPIED_BYTES} bytes that a batch may go on from"
            raise errors.LimitReached(where, message)
        held = self._held(session, name, line.asked.request) if where == "conversation" else None
        read_before = preceding.read_bytes(session)
        try:
            plan = kinds.plan(session, self.models, self.owner, line.asked)
        except errors.InvalidField:
            self.copied += preceding.read_bytes(session) - read_before
            raise
        self.copied += max(0, _size(plan.asked) - _size(line.asked))
        if held is not None and isinstance(plan.asked.request, Asked):
            self.put_in[name] = _with(held, plan.asked.request.items)
        return plan

    def _held(self, session: Session, name: str, asked: Asked) -> tuple[int, int]:
        """`put_in` of the conversation that a line goes on in, which is as it was while lines before it are planned:
        each is put in once it has been answered. Raises `ConversationFull` where there is no room for the line."""
        assert asked.conversation is not None
        held = self.put_in.get(name) or conversations.held(session, self.owner, asked.conversation)
        _with(held, asked.items)
        return held


def _with(held: tuple[int, int], coming: Sequence[Item]) -> tuple[int, int]:
    """What a conversation has after these items, and the one that answers them. Raises `ConversationFull`."""
    items, size = held[0] + len(coming) + 1, held[1] + sum(map(conversations.size, coming))
    if items > conversations.MAX_ITEMS or size > conversations.MAX_BYTES:
        bounds = f"{conversations.MAX_ITEMS} items, of {conversations.MAX_BYTES} bytes"
        message = f"a conversation has at most {bounds}, and the lines before put in what there was room for"
        raise errors.ConversationFull("conversation", message)
    return items, size


def _size(asked: Submission[Any]) -> int:
    return len(strictjson.dumps(asked.request.to_json().input))


def surroundings(slot: Slot) -> Surroundings:
    """What its lines are read by, as it is now."""
    return Surroundings(slot.models(), slot.toolbox)
