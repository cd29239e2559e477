"""The last stage of a batch: what its lines came to is written into files. Where it is to end early, they end before.

Cut off anywhere, it goes on: a file is written part by part, each of which stays once it is whole, and is the batch's
in the transaction that makes it of them.
"""

import time
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Any

from sqlalchemy.orm import Session

from dialects.openai import lines as dialect
from dialects.openai.render import fingerprint
from dialects.openai.render import lines as rendered
from dialects.openai.render.lines import Answered
from tasks import errors, failpoints, ids
from tasks.batches import answers, batches, states
from tasks.batches.answers import LineAnswer
from tasks.files import drafts, files, keeping
from tasks.files.files import FileView, Wish
from tasks.files.keeping import Part, Room
from tasks.jobs import fence, stages
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.keys import Caller
from tasks.kinds.batch import BatchKind
from tasks.models import catalog
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import batch_lines

MAX_OUTPUT_BYTES = 2 * 1024**3
PART_S = 2.0  # so long a part of a file is written: who dies loses no more


def gather_lines(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome | Onward:  # noqa: ARG001 nothing to tell
    """Ends what is left of a batch that is to end early; then writes its files, and ends it.

    Where lines run still and nobody told it to end, it waits for them.
    """
    claim = attempt.claim
    with slot.sessions.begin() as session:
        ending = states.ending(session, claim.job_id)
    if ending is not None:
        _end_lines(slot, attempt, ending)
    with slot.sessions.begin() as session:
        batch = states.finalizing(session, claim.job_id, claim.attempt)
        handed = fence.handed(session, claim.job_id)
    if batch is None:
        return Onward(stages.GATHER_LINES, catalog.CONTROL, handed, wait_for_children=ending is None)
    if batch.ended_at is not None:  # by an attempt that died before its job's end
        return _outcome(batch)
    files_of = _Files(slot, attempt, batch.ending or "", batch_lines.endpoint(attempt), handed, batch.full_from)
    if batch.output_file_id is None:
        files_of.write(output=True)
    if batch.error_file_id is None:
        files_of.write(output=False)
    with slot.sessions.begin() as session:
        batch = states.ended(session, claim.job_id, claim.attempt)
    failpoints.passed("batches.after_end")
    return _outcome(batch)


def _end_lines(slot: Slot, attempt: Attempt, ending: str) -> None:
    """Ends the lines that haven't ended, in lots; those that others hold at this moment are left for another look."""
    error = _ERRORS.get(ending, _ERRORS["failed"])
    while slot.end_lines(attempt.claim.job_id, error):
        attempt.check()


# What is said of lines that were ended with their batch.
_ERRORS = {
    "cancelled": (batches.CANCELLED, "the batch was cancelled before this request had been answered"),
    "expired": (batches.EXPIRED, "the batch's window ended before this request had been answered"),
    "failed": (batches.FAILED, "the batch failed before this request had been answered"),
}
# What is said of lines that have an answer.
_FULL = (batches.FULL, "the output file is full: this answer is among the batch's results, /v1/batches/{id}/results")


def _outcome(batch: Any) -> Outcome:
    counts = batch.totals["counts"]
    progress = (counts["total"], counts["total"])
    if batch.ending == "completed":
        return Outcome(Status.SUCCEEDED, result={"request_counts": counts}, progress=progress)
    if batch.ending == "failed":
        first = (batch.errors or [{"code": "internal", "message": "it failed"}])[0]
        where = f"line {first['line']}: " if first.get("line") else ""
        return Outcome(Status.FAILED, error=(first["code"], where + first["message"]), progress=progress)
    return Outcome(Status.CANCELLED if batch.ending == "cancelled" else Status.EXPIRED, progress=progress)


_Told = tuple[bytes, Mapping[str, int]]  # some lines of a file, and where those after them begin


@dataclass(slots=True)
class _File:
    """A file that is being written: the draft that it is once a part of it is kept, of how many bytes; where its next
    lines begin, and whether there are none."""

    output: bool
    draft_id: uuid.UUID | None = None
    bytes: int = 0
    where: Mapping[str, int] = field(default_factory=dict)
    over: bool = False


@dataclass(slots=True)
class _Files:
    """The two files of a batch that ends so, as they are written. Used by one thread."""

    slot: Slot
    attempt: Attempt
    ending: str
    endpoint: str
    handed: dict[str, Any] | None
    full_from: int | None
    _made_by: dict[str, str | None] = field(default_factory=dict)

    def write(self, *, output: bool) -> None:
        """Makes a file of what there is, from where an earlier attempt kept a part of it; none of nothing."""
        file, tenant_id = self._begun(output), self.attempt.claim.tenant_id
        lots = self._answered_lots(file) if output else self._refused_lots(file.where)
        for first in lots:
            with keeping.kept(self.slot.stores, tenant_id, self._part(file, chain([first], lots)), _ROOM) as part:
                failpoints.passed("batches.after_part_before_commit")
                with self.slot.sessions.begin() as session:
                    self._keep(session, file, part)
            failpoints.passed("batches.after_part")
        if file.draft_id is not None:
            with self.slot.sessions.begin() as session:
                self._make(session, file, drafts.complete(session, self._caller, file.draft_id, self._wish(file)))
        failpoints.passed("batches.after_file")

    def _begun(self, output: bool) -> _File:
        noted = (self.handed or {}).get(_DRAFT, {})
        if noted.get("output") is not output:
            return _File(output)
        draft_id = uuid.UUID(noted["id"])
        with self.slot.sessions.begin() as session:
            kept = drafts.look(session, self._caller, draft_id)
        if kept is None:
            return _File(output)
        return _File(output, draft_id, sum(part.bytes for part in kept), noted["where"])

    def _part(self, file: _File, lots: Iterator[_Told]) -> Iterator[bytes]:
        """The bytes of as many of these lots as there is time for, one at least."""
        until = time.monotonic() + PART_S
        for told, file.where in lots:
            yield told
            if time.monotonic() > until:
                return
        file.over = True

    def _keep(self, session: Session, file: _File, part: Part) -> None:
        """Notes where the next attempt goes on; of a file of one part, that it is made. Raises `Fenced`."""
        if file.over and file.draft_id is None:
            self._make(session, file, files.add(session, self._caller, part, self._wish(file)))
            return
        file.draft_id = drafts.add(session, self._caller, file.draft_id, part, self._wish(file))
        noted = {"output": file.output, "id": file.draft_id.hex, "where": file.where}
        handed, claim = {_DRAFT: noted, _LEFT: self._left}, self.attempt.claim
        fence.progressed(session, claim.job_id, claim.attempt, stage_input=handed)

    def _make(self, session: Session, file: _File, made: FileView) -> None:
        claim = self.attempt.claim
        states.kept(session, claim.job_id, claim.attempt, made, output=file.output)

    def _wish(self, file: _File) -> Wish:
        claim, new = self.attempt.claim, BatchKind().parse(self.attempt.claim.asked).new
        name = f"{ids.show(claim.job_id, ids.BATCH)}_{'output' if file.output else 'error'}.jsonl"
        return Wish(name, "batch_output", new.output_kept_s)

    @property
    def _caller(self) -> Caller:
        return batch_lines.caller(self.attempt)

    @property
    def _left(self) -> Mapping[str, int] | None:
        """Where in the input file those lines begin that may not have become jobs; None where all have."""
        if self.handed is None or _LEFT in self.handed:
            return (self.handed or {}).get(_LEFT)
        return {name: self.handed.get(name, 0) for name in ("at", "number", "place")}

    def _answered_lots(self, file: _File) -> Iterator[_Told]:
        """The lines of requests that were answered, lot by lot, up to the first that has no room."""
        room, after = MAX_OUTPUT_BYTES - file.bytes, file.where.get("after", -1)
        for lot in answers.lots(self.slot.sessions, self.attempt.claim.job_id, succeeded=True, after=after):
            told = self._in_turn(lot, lambda line: rendered.succeeded(self.endpoint, self._answered(line)))
            ends = list(accumulate(map(len, told)))
            if ends[-1] > room:
                fitting = bisect_right(ends, room)
                self._note_full(lot[fitting].place)
                if fitting:
                    yield b"".join(told[:fitting]), {"after": lot[fitting - 1].place}
                return
            room -= ends[-1]
            yield b"".join(told), {"after": lot[-1].place}

    def _refused_lots(self, where: Mapping[str, int]) -> Iterator[_Told]:
        """The lines of the others; at last of those that never became jobs."""
        if "at" in where:
            yield from self._unwritten(where)
            return
        sessions, job_id, after = self.slot.sessions, self.attempt.claim.job_id, where.get("after", -1)
        for lot in answers.lots(sessions, job_id, succeeded=False, full_from=self.full_from, after=after):
            yield b"".join(self._in_turn(lot, self._refused)), {"after": lot[-1].place}
        if self._left is not None and self.ending in _ERRORS:
            yield from self._unwritten(self._left)

    def _refused(self, line: LineAnswer) -> bytes:
        if line.job.status == Status.SUCCEEDED:
            return rendered.left_out(self._answered(line), *_FULL)
        return rendered.failed(self._answered(line))

    def _note_full(self, place: int) -> None:
        claim = self.attempt.claim
        with self.slot.sessions.begin() as session:
            states.full(session, claim.job_id, claim.attempt, place)
        self.full_from = place

    def _in_turn(self, lot: list[LineAnswer], render: Callable[[LineAnswer], bytes]) -> list[bytes]:
        with self._turn():
            return [render(line) for line in lot]

    def _turn(self) -> AbstractContextManager[None]:
        claim = self.attempt.claim
        return self.slot.line_turns.taken(claim.tenant_id, claim.job_id, self.attempt.check)

    def _answered(self, line: LineAnswer) -> Answered:
        return rendered.answered(line, self._fingerprint(line.job.model))

    def _fingerprint(self, model: str) -> str | None:
        if model not in self._made_by:
            self._made_by[model] = fingerprint.of(self.slot.models().get(model))
        return self._made_by[model]

    def _unwritten(self, where: Mapping[str, int]) -> Iterator[_Told]:
        """The lines that hadn't been made jobs when the batch was told to end, as far as the file is there still.

        Raises `Unavailable` where it is there and can't be had now.
        """
        with self.slot.sessions.begin() as session:
            first = states.written(session, self.attempt.claim.job_id)
        part, place = batch_lines.Slice(self.slot, self.attempt, where["at"], where["number"]), where["place"]
        while True:
            with self._turn():
                told, place, is_gone = self._ended_with_it(part, place, first)
            if told:
                yield told, {**part.where, "place": place}
            if part.over or is_gone:
                return
            part = part.next()

    def _ended_with_it(self, part: batch_lines.Slice, place: int, first: int) -> tuple[bytes, int, bool]:
        """Those of a slice from the place `first` on; which place comes after it, and whether the file is gone."""
        error, told = _ERRORS[self.ending], list[bytes]()
        try:
            for line in part.lines():
                if line.raw is None or not line.raw.strip():
                    continue
                if place >= first:
                    name = dialect.custom_id(line.raw, self.endpoint)
                    told.append(rendered.unwritten(name, self.attempt.claim.job_id, place, *error))
                place += 1
        except errors.NotFound:
            return b"".join(told), place, True
        return b"".join(told), place, False


# What the stage notes of a draft, and from then on of where lines begin that never became jobs.
_DRAFT, _LEFT = "draft", "left"
# What the platform itself makes isn't refused for what the tenant keeps: the lines were run for it.
_ROOM = Room("input_file_id", 0, 2**62)
