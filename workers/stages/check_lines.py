"""The first stage of a batch: every line of its file is read as its endpoint would read it, before any is run."""

import base64
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from dialects.openai import lines as dialect
from dialects.openai.lines import Line, LineRefused, Surroundings
from tasks import errors
from tasks.batches import grouping, lines, states, twins
from tasks.batches.batches import FileError
from tasks.batches.lines import FileLine
from tasks.batches.order import Ranks
from tasks.batches.twins import Firsts
from tasks.jobs import stages
from tasks.jobs.outcomes import Onward, Outcome
from tasks.models import catalog
from tasks.streams.events import Started
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import batch_lines

MAX_ERRORS = 100  # so many are told; then the file is read no further
_HASH_BYTES = 8
_TOO_MANY = "too_many_lines"  # after this error nothing is read either
GONE = FileError("input_file_gone", "the file was deleted before all of it was read")


def check_lines(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome | Onward:
    """Reads a slice of the file. At its end the lines become jobs, or the batch fails with what is wrong with them."""
    claim = attempt.claim
    if not publisher.transcript.entries:
        publisher.transcript.add(Started(claim.attempt, slot.worker_id))
        publisher.flush()
    with slot.sessions.begin() as session:
        if states.ending(session, claim.job_id) is not None:
            return Onward(stages.GATHER_LINES, catalog.CONTROL, _all_unwritten(session, claim.job_id))
    part, found = batch_lines.begun(slot, attempt), Found.from_json(claim.stage_input or {})
    with slot.line_turns.taken(claim.tenant_id, claim.job_id, attempt.check):
        is_over = _read(slot, attempt, part, found)
    if not is_over:
        part.progressed()
        return Onward(stages.CHECK_LINES, catalog.CONTROL, part.where | found.to_json())
    if not found.errors and not found.lines:
        found.errors.append(FileError("empty_file", "the file has no lines"))
    with slot.sessions.begin() as session:
        if found.errors:
            states.failed(session, claim.job_id, claim.attempt, found.errors)
            return Onward(stages.GATHER_LINES, catalog.CONTROL, _all_unwritten(session, claim.job_id))
        model = found.models[0] if len(found.models) == 1 else None
        states.checked(session, claim.job_id, claim.attempt, found.lines, model)
    return Onward(stages.WRITE_LINES, catalog.CONTROL, found.for_writing())


def _all_unwritten(session: Session, job_id: uuid.UUID) -> dict[str, Any] | None:
    """What the last stage is to be told where the number of lines is known, so that each is told to have ended: that
    all are to be read for it."""
    return {} if states.lines(session, job_id) else None


def _read(slot: Slot, attempt: Attempt, part: batch_lines.Slice, found: "Found") -> bool:
    """Checks the lines of the slice; whether that was the last of them that is to be read."""
    checker = Checker(slot, attempt, batch_lines.endpoint(attempt), batch_lines.surroundings(slot), found)
    try:
        for line in part.lines():
            checker.check(line)
            if found.enough:
                return True
    except errors.NotFound:
        found.errors.append(GONE)
        return True
    return part.over


@dataclass(slots=True)
class Found:
    """What was found in the lines that were read: how many there are, what of them is wrong, which models they ask,
    how many texts they want embedded, hashes of what they are called, the keys by which they are grouped, and which of
    them are equal."""

    lines: int
    errors: list[FileError]
    models: list[str]
    inputs: int
    names: set[bytes]
    keys: bytearray
    firsts: Firsts

    @property
    def enough(self) -> bool:
        return len(self.errors) >= MAX_ERRORS or (bool(self.errors) and self.errors[-1].code == _TOO_MANY)

    def for_writing(self) -> dict[str, str]:
        """In which order the lines are to run, and which of them needn't."""
        size = grouping.KEY_BYTES
        keys = [bytes(self.keys[at : at + size]) for at in range(0, len(self.keys), size)]
        return {"order": Ranks.of(grouping.ranks(keys)).packed, "twins": self.firsts.twins.packed}

    def to_json(self) -> dict[str, Any]:
        return {
            "lines": self.lines,
            "errors": [error.plain() for error in self.errors],
            "models": self.models,
            "inputs": self.inputs,
            "names": base64.b64encode(b"".join(self.names)).decode(),
            "keys": base64.b64encode(self.keys).decode(),
            **self.firsts.to_json(),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Found":
        """What `to_json` gave, or nothing yet."""
        hashes = base64.b64decode(kept.get("names", ""))
        return cls(
            kept.get("lines", 0),
            [FileError(**error) for error in kept.get("errors", ())],
            kept.get("models", []),
            kept.get("inputs", 0),
            {hashes[at : at + _HASH_BYTES] for at in range(0, len(hashes), _HASH_BYTES)},
            bytearray(base64.b64decode(kept.get("keys", ""))),
            Firsts.from_json(kept),
        )


@dataclass(frozen=True, slots=True)
class Checked:
    """A line that is right, and the model that it asks."""

    line: Line
    model: str


@dataclass(frozen=True, slots=True)
class Checker:
    """Reads lines as their endpoint would."""

    slot: Slot
    attempt: Attempt
    endpoint: str
    around: Surroundings
    found: Found

    def check(self, line: FileLine) -> Checked | None:
        """Adds the line to what was found; what it asks, if it is right."""
        if line.raw is not None and not line.raw.strip():
            if line.number > lines.MAX_LINES_OF_FILE:
                self._refuse_rest(line, f"the file has more than {lines.MAX_LINES_OF_FILE} lines, most of them blank")
            return None
        self.found.lines += 1
        if self.found.lines > lines.MAX_LINES:
            self._refuse_rest(line, f"the file has more than {lines.MAX_LINES} lines")
            return None
        try:
            checked = self._parsed(line)
            self._note(checked.line)
            return checked
        except LineRefused as error:
            self.found.errors.append(FileError(error.code, str(error)[:500], line.number, error.field))
            return None

    def _parsed(self, line: FileLine) -> Checked:
        if line.raw is None:
            raise LineRefused("line_too_long", None, f"the line has more than {lines.MAX_LINE_BYTES} bytes")
        read = dialect.read(line.raw, self.endpoint, self.around)
        return Checked(read, batch_lines.model(self.around.models, read))

    def _note(self, line: Line) -> None:
        """Raises `LineRefused` for what isn't wrong with the line by itself."""
        found = self.found
        name = hashlib.blake2b(line.custom_id.encode(), digest_size=_HASH_BYTES).digest()
        if name in found.names:
            raise LineRefused("duplicate_custom_id", "custom_id", f"another line is called {line.custom_id[:64]!r}")
        found.names.add(name)
        _, after = line.goes_on_from or ("", "")
        found.keys += grouping.key(line.asked.request.to_json().input, after)
        found.firsts.note(found.lines - 1, twins.digest(line.asked, line.about))
        if line.asked.model is not None and line.asked.model not in found.models and len(found.models) < 2:
            found.models.append(line.asked.model)
        if self.endpoint == "/v1/embeddings":
            found.inputs += line.inputs
            if found.inputs > dialect.MAX_INPUTS:
                message = f"the lines have more than {dialect.MAX_INPUTS} inputs together"
                raise LineRefused("too_many_inputs", "body.input", message)

    def _refuse_rest(self, line: FileLine, message: str) -> None:
        """What is wrong with the file from this line on is told last, and nothing after it is read."""
        del self.found.errors[MAX_ERRORS - 1 :]
        self.found.errors.append(FileError(_TOO_MANY, message, line.number))
