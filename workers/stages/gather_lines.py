"""The last stage of a batch: what its lines came to is written into files. Where it is to end early, they end before.

Cut off anywhere, it goes on: a file is the batch's in the transaction that makes it, and what was written of one that
wasn't is erased.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from dialects.openai import lines as dialect
from dialects.openai.render import fingerprint
from dialects.openai.render import lines as rendered
from dialects.openai.render.lines import Answered
from tasks import errors, failpoints, ids
from tasks.batches import answers, batches, states
from tasks.batches.answers import LineAnswer
from tasks.files import files, keeping
from tasks.files.files import Wish
from tasks.files.keeping import Room
from tasks.jobs import stages
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.kinds.batch import BatchKind
from tasks.models import catalog
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import batch_lines

MAX_OUTPUT_BYTES = 2 * 1024**3


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
    if batch is None:
        return Onward(stages.GATHER_LINES, catalog.CONTROL, claim.stage_input, wait_for_children=ending is None)
    if batch.ended_at is not None:  # by an attempt that died before its job's end
        return _outcome(batch)
    files_of = _Files(slot, attempt, batch.ending or "", batch_lines.endpoint(attempt))
    files_of.full_from = batch.full_from
    if batch.output_file_id is None:
        files_of.write(files_of.answered(), output=True)
    if batch.error_file_id is None:
        files_of.write(files_of.refused(), output=False)
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


@dataclass(slots=True)
class _Files:
    """The two files of a batch that ends so, as they are written. Used by one thread."""

    slot: Slot
    attempt: Attempt
    ending: str
    endpoint: str
    full_from: int | None = None
    _made_by: dict[str, str | None] = field(default_factory=dict)

    def answered(self) -> Iterator[bytes]:
        """The lines of requests that were answered, lot by lot, up to the first that has no room."""
        room = MAX_OUTPUT_BYTES
        for lot in answers.lots(self.slot.sessions, self.attempt.claim.job_id, succeeded=True):
            told = self._in_turn(lot, lambda line: rendered.succeeded(self.endpoint, self._answered(line)))
            ends = list(accumulate(map(len, told)))
            if ends[-1] > room:
                fitting = bisect_right(ends, room)
                self._note_full(lot[fitting].place)
                if fitting:
                    yield b"".join(told[:fitting])
                return
            room -= ends[-1]
            yield b"".join(told)

    def refused(self) -> Iterator[bytes]:
        """The lines of the others; at last of those that never became jobs."""
        sessions, job_id = self.slot.sessions, self.attempt.claim.job_id
        for lot in answers.lots(sessions, job_id, succeeded=False, full_from=self.full_from):
            yield b"".join(self._in_turn(lot, self._refused))
        yield from self._unwritten()

    def _refused(self, line: LineAnswer) -> bytes:
        if line.job.status == Status.SUCCEEDED:
            return rendered.left_out(self._answered(line), *_FULL)
        return rendered.failed(self._answered(line))

    def _note_full(self, place: int) -> None:
        claim = self.attempt.claim
        with self.slot.sessions.begin() as session:
            states.full(session, claim.job_id, claim.attempt, place)
        self.full_from = place

    def write(self, lots: Iterator[bytes], *, output: bool) -> None:
        """Makes a file of what there is; none of nothing."""
        first = next(lots, None)
        if first is None:
            return
        claim, new = self.attempt.claim, BatchKind().parse(self.attempt.claim.asked).new
        name = f"{ids.show(claim.job_id, ids.BATCH)}_{'output' if output else 'error'}.jsonl"
        wish = Wish(name, "batch_output", new.output_kept_s)
        pieces = _then(first, lots)
        with keeping.kept(self.slot.stores, claim.tenant_id, pieces, _ROOM) as part:
            failpoints.passed("batches.after_file_before_commit")
            with self.slot.sessions.begin() as session:
                file = files.add(session, batch_lines.caller(self.attempt), part, wish)
                states.kept(session, claim.job_id, claim.attempt, file, output=output)
        failpoints.passed("batches.after_file")

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

    def _unwritten(self) -> Iterator[bytes]:
        """The lines that hadn't been made jobs when the batch was told to end, as far as the file is there still.

        Raises `Unavailable` where it is there and can't be had now.
        """
        claim = self.attempt.claim
        left = claim.stage_input
        if left is None or self.ending not in _ERRORS:
            return
        with self.slot.sessions.begin() as session:
            first = states.written(session, claim.job_id)
        part, place = batch_lines.begun(self.slot, self.attempt), left.get("place", 0)
        while True:
            with self._turn():
                told, place, is_gone = self._ended_with_it(part, place, first)
            if told:
                yield told
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


# What the platform itself makes isn't refused for what the tenant keeps: the lines were run for it.
_ROOM = Room("input_file_id", 0, 2**62)


def _then(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
