"""The first stage of an ingest job that brought files: their text, on the control worker.

An archive is replaced by the documents in it, which are read right after it.
"""

import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from tasks import errors
from tasks.documents import ingest, kinds, unpacking
from tasks.documents.marks import Extracted
from tasks.documents.unpacking import Members
from tasks.files import files as kept_files
from tasks.jobs import fence, stages
from tasks.jobs.outcomes import Onward, Outcome
from workers.attempt import Attempt
from workers.extraction import parent
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import ingesting
from workers.stages.progress import Reporter

log = structlog.get_logger(__name__)

JOB_S = 600.0  # of children that read the files of one job,
FILE_S = 2.0  # or this for each, where that is more: an archive may hold a thousand

_NO_TIME = "reading_took_too_long"  # nothing is said of the file by that: it may be read another time
_LOST, _AWAY = "file_lost", "file_store_away"
AWAY_S = 300.0  # so long a job waits for a store of files that doesn't answer, over all its attempts
_PAUSE_S = 2.0

Found = TypeVar("Found")

# What an attempt that gives its slot back hands the next: fewer files are left then, which must not be less time.
SPENT, LIMIT, AWAY = "spent_s", "limit_s", "away_s"


def extract(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome | Onward:
    """The text of every file of the job that still wants it, one at a time; a file that holds none fails alone.

    After each the job gives its slot back if it is wanted.
    """
    claim = attempt.claim
    reporter = Reporter(attempt, publisher, slot.worker_id)
    with slot.sessions.begin() as session:
        work = ingest.work(session, claim.tenant_id, claim.job_id)
    files = deque(document for document in work.waiting if document.is_file)
    handed = claim.stage_input or {}
    budget = Budget(handed.get(SPENT, 0.0), max(handed.get(LIMIT, JOB_S), FILE_S * len(files)))
    away = Away(handed.get(AWAY, 0.0))
    done, total = work.total - sum(file.bytes for file in files), work.total
    reporter.report(done, total)
    attempt.check()
    try:
        while files:
            file = files.popleft()
            inner: tuple[ingest.Pending, ...] = ()
            if file.kind in kinds.ARCHIVES:
                inner = unpack_one(slot, attempt, file, budget).waiting
            else:
                away.borne(slot, attempt, file, partial(read_one, slot, attempt, file, budget))
            files.extendleft(reversed(inner))
            budget.limit_s = max(budget.limit_s, FILE_S * len(files))
            total += sum(one.bytes for one in inner) - (file.bytes if inner else 0)
            done += 0 if inner else file.bytes
            reporter.report(done, total)
            slot.check(attempt) if files else attempt.check()
    except errors.GaveWay:
        return slot.back(attempt, {SPENT: budget.spent_s, LIMIT: budget.limit_s, AWAY: away.waited_s})
    with slot.sessions.begin() as session:
        is_over = not ingest.work(session, claim.tenant_id, claim.job_id).waiting
    return ingesting.outcome(slot, attempt, (total, total)) if is_over else Onward(stages.EMBED_DOCUMENTS, claim.model)


@dataclass(slots=True)
class Away:
    """How long a job has waited for stores of files that didn't answer, over all attempts that gave their slot back."""

    waited_s: float

    def borne(self, slot: Slot, attempt: Attempt, file: ingest.Pending, read: Callable[[], object]) -> None:
        """Reads the file, again after a pause where it can't be had now; once that has lasted too long it fails alone.

        Nobody's turn is taken by the waiting, and the slot is given back where it is wanted.
        """
        while True:
            try:
                read()
            except errors.Unavailable as error:
                if self.waited_s >= AWAY_S:
                    return ingesting.give_up(slot, attempt, file.id, errors.DocumentFailed(_AWAY, str(error)))
                log.warning("file_store_away", error=str(error))
                slot.check(attempt)
                time.sleep(_PAUSE_S)
                self.waited_s += _PAUSE_S
            else:
                return None


@dataclass(slots=True)
class Budget:
    """The seconds that children have read the job's files, over all attempts that gave their slot back."""

    spent_s: float
    limit_s: float

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Counts the time of the block. Raises `DocumentFailed` when there is none left."""
        if self.spent_s >= self.limit_s:
            raise errors.DocumentFailed(_NO_TIME, f"reading the files of its job took more than {self.limit_s:g} s")
        began_at = time.monotonic()
        try:
            yield
        finally:
            self.spent_s += time.monotonic() - began_at


def unpack_one(
    slot: Slot,
    attempt: Attempt,
    file: ingest.Pending,
    budget: Budget,
    noted: Callable[[Session, Members], None] = lambda session, members: None,  # noqa: ARG005
) -> Members:
    """Keeps the documents in an archive instead of it, or why there are none.

    `noted` does what else belongs into the transaction; a `JobError` of its undoes that, and is why.
    """
    claim = attempt.claim
    try:
        found = _in_turn(slot, attempt, file, budget, partial(parent.unpack, kind=file.kind))
        if found is None:
            return Members()
        with slot.sessions.begin() as session:
            fence.guard(session, claim.job_id, claim.attempt)
            members = unpacking.unpacked(session, claim.tenant_id, file.id, found.members, found.refused)
            if members.documents:
                noted(session, members)
            return members
    except errors.JobError as error:
        attempt.check()
        ingesting.give_up(slot, attempt, file.id, error)
        return Members()


def read_one(slot: Slot, attempt: Attempt, file: ingest.Pending, budget: Budget) -> bool:
    """Keeps the file's text, or why there is none. True when it has text, or needs none."""
    claim = attempt.claim
    try:
        found = _read_at_once(slot, attempt, file)
        if found is None:
            read = partial(parent.extract, kind=file.kind, charset=file.charset)
            found = _in_turn(slot, attempt, file, budget, read)
    except errors.JobError as error:
        attempt.check()
        ingesting.give_up(slot, attempt, file.id, error)
        return False
    if found is not None:
        with slot.sessions.begin() as session:
            fence.guard(session, claim.job_id, claim.attempt)
            ingest.extracted(session, claim.tenant_id, file.id, found)
    return True


def _read_at_once(slot: Slot, attempt: Attempt, file: ingest.Pending) -> Extracted | None:
    """The text of a file that can be read without a child and without waiting for a turn; None for others."""
    if file.kind not in parent.PLAIN or file.bytes > parent.AT_ONCE_BYTES:
        return None
    raw = _raw(slot, attempt, file)
    return parent.at_once(raw, file.kind, file.charset) if raw is not None else None


def _in_turn(
    slot: Slot, attempt: Attempt, file: ingest.Pending, budget: Budget, read: Callable[..., Found]
) -> Found | None:
    """What a child finds in the file, when it is the tenant's turn; None when the file is gone.

    Plain texts take turns among themselves: however slow others are, they don't wait behind them.
    """
    claim = attempt.claim
    turns = slot.plain_turns if file.kind in parent.PLAIN else slot.turns
    with turns.taken(claim.tenant_id, claim.job_id, lambda: slot.check(attempt)):
        raw = _raw(slot, attempt, file)
        if raw is None:
            return None
        with budget.spending():
            return read(raw, stopped=lambda: attempt.stopped is not None)


def _raw(slot: Slot, attempt: Attempt, file: ingest.Pending) -> bytes | None:
    """The file's bytes; None when it is gone."""
    if file.file_id is not None:
        return _kept(slot, attempt, file, file.file_id)
    with slot.sessions.begin() as session:
        return ingest.raw(session, attempt.claim.tenant_id, file.id)


def _kept(slot: Slot, attempt: Attempt, file: ingest.Pending, file_id: uuid.UUID) -> bytes:
    """The bytes of a kept file, which are no more than was seen to when it was attached.

    Raises `UnreadableDocument` where it is gone, `DocumentFailed` where its bytes are, and `Unavailable` where they
    can't be had now.
    """
    claim = attempt.claim
    try:
        content = kept_files.content_of(slot.stores, claim.tenant_id, file_id)
    except errors.NotFound as error:
        raise errors.UnreadableDocument("the file has expired, or was deleted") from error
    try:
        raw = b"".join(content.read())
    except errors.BytesGone as error:
        raise errors.DocumentFailed(_LOST, str(error)) from error
    with slot.sessions.begin() as session:
        fence.guard(session, claim.job_id, claim.attempt)
        ingest.identified(session, claim.tenant_id, file.id, raw)
    return raw
