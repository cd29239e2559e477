"""Batches: begun, looked at, listed, and told to end. What they do meanwhile is their job's stages'."""

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from db import batches as table
from db import families
from db.batches import Batch
from db.jobs import Job
from tasks import errors
from tasks.batches.counting import Counting
from tasks.files import files
from tasks.jobs import lifecycle, naming
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tasks.limits.spent import Spent

KIND = "batch"
OWNS_INPUT = "owns_input"  # under this name its job's params say so
# Why one ends, which is also how it has ended then.
Ending = Literal["completed", "failed", "cancelled", "expired"]
BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
# The codes of lines that didn't come to an end by themselves.
CANCELLED, EXPIRED, FAILED, FULL = "batch_cancelled", "batch_expired", "batch_failed", "output_file_full"


@dataclass(frozen=True, slots=True)
class FileError:
    """What is wrong with a batch's file: in which line of it, and which field, where it is one."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def plain(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "line": self.line, "param": self.param}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many lines there are, and how they have ended."""

    total: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """How the lines that became jobs have ended: those that failed by themselves, and those that were ended with their
    batch, or from outside."""

    succeeded: int = 0
    failed: int = 0
    ended_with_it: int = 0


@dataclass(frozen=True, slots=True)
class BatchView:
    """What is told of a batch. `counts` and `spent` are what they were at its end, or are by now; `tally` is there once
    it has ended, unless its job was ended from outside."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    endpoint: str
    model: str | None
    status: BatchStatus
    input_file_id: uuid.UUID
    output_file_id: uuid.UUID | None
    error_file_id: uuid.UUID | None
    errors: tuple[Mapping[str, Any], ...] | None
    completion_window: str
    created_at: dt.datetime
    in_progress_at: dt.datetime | None
    expires_at: dt.datetime
    ending: str | None
    ending_at: dt.datetime | None
    finalizing_at: dt.datetime | None
    ended_at: dt.datetime | None
    counts: Counts
    spent: Spent
    tally: Tally | None
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch as it is asked for: `window` as it was written, and how many seconds that is.

    `lines` is how many it has where that is known already.
    It `takes_over` the answers that an earlier batch of the same file has: those lines aren't run again.
    With `owns_input` the file was made for it, and isn't one that the client sent.
    """

    endpoint: str
    input_file_id: uuid.UUID
    window: str
    window_s: int
    output_kept_s: int | None = None
    takes_over: uuid.UUID | None = None
    lines: int = 0
    owns_input: bool = False


def require_file(session: Session, caller: Caller, file_id: uuid.UUID) -> None:
    """Raises `InvalidField` for a file that can't be a batch's."""
    try:
        file = files.get(session, caller, file_id)
    except errors.NotFound as error:
        raise errors.InvalidField("input_file_id", "no such file") from error
    if file.purpose != "batch":
        raise errors.InvalidField("input_file_id", f"the file's purpose is {file.purpose}: it must be batch")


def begin(session: Session, caller: Caller, new: NewBatch, job_id: uuid.UUID) -> None:
    """Notes the batch of a job that is about to be. Raises `InvalidField` for a file that can't be a batch's."""
    require_file(session, caller, new.input_file_id)
    row = Batch(
        job_id=job_id,
        tenant_id=caller.tenant_id,
        endpoint=new.endpoint,
        input_file_id=new.input_file_id,
        completion_window=new.window,
        output_kept_s=new.output_kept_s,
        lines=new.lines,
    )
    table.add(session, row, new.window_s)


def get(session: Session, caller: Caller, batch_id: uuid.UUID, counting: Counting | None = None) -> BatchView:
    """Its lines are counted now, or by `counting`. Raises `NotFound`."""
    found = _there(table.find(session, caller.tenant_id, batch_id))
    return _shown(session, [found], counting or Counting())[0]


def page(
    session: Session,
    caller: Caller,
    *,
    limit: int,
    after: uuid.UUID | None = None,
    counting: Counting | None = None,
) -> tuple[list[BatchView], bool]:
    """The tenant's batches, the newest first, at most `limit`, and whether there are more."""
    found = table.page(session, caller.tenant_id, limit=limit + 1, after=after)
    return _shown(session, found[:limit], counting or Counting()), len(found) > limit


def page_for(
    session: Session,
    caller: Caller,
    endpoint: str,
    *,
    limit: int,
    after: uuid.UUID | None = None,
    before: uuid.UUID | None = None,
    counting: Counting,
) -> tuple[list[BatchView], bool]:
    """The tenant's batches for this endpoint, the newest first, at most `limit`, and whether there are more: those that
    are older than `after`; or those just newer than `before`, of which then the newest are left."""
    found = table.page_for(session, caller.tenant_id, endpoint, limit=limit + 1, after=after, before=before)
    kept = found[:limit] if before is None else found[-limit:]
    return _shown(session, kept, counting), len(found) > limit


def tally(session: Session, batch: BatchView, counting: Counting) -> Tally:
    """How the batch's lines had ended at its end, or have by now."""
    return batch.tally or tallied(counting.of(session, batch.id))


def tallied(told: Iterable[tuple[str, int, Mapping[str, int]]]) -> Tally:
    """What these counts of lines by their statuses come to."""
    ended = Counter[str]()
    for status, number, _ in told:
        ended[status] += number
    failed = ended[Status.FAILED] + ended[Status.EXPIRED]
    return Tally(ended[Status.SUCCEEDED], failed, ended[Status.CANCELLED])


def require_failures(session: Session, caller: Caller, batch_id: uuid.UUID) -> None:
    """Raises `Conflict` unless the batch, whose job has ended, has lines without an answer; `NotFound`.

    One that ended without its files, as it shouldn't, may always be asked again: if only for these.
    """
    row, _ = _there(table.find(session, caller.tenant_id, batch_id))
    if row.ended_at is None:
        return
    batch = get(session, caller, batch_id)
    if not batch.counts.total:
        raise errors.Conflict("none of its requests was run: its file was refused, or it ended before that was read")
    answered = batch.tally.succeeded if batch.tally else batch.counts.completed  # in the output file or not
    if answered == batch.counts.total:
        raise errors.Conflict("all its requests were answered: there is nothing to ask again")


def has_any(session: Session, caller: Caller, file_id: uuid.UUID) -> bool:
    """Whether a batch of the tenant's is of this file."""
    return bool(table.of_file(session, caller.tenant_id, file_id))


def own_files(session: Session, caller: Caller, batch_id: uuid.UUID) -> list[uuid.UUID]:
    """The files that are to go with the batch: those it has made; and the one it is of, if that was made for it and no
    other batch is of that. Raises `NotFound`."""
    batch, job = _there(table.find(session, caller.tenant_id, batch_id))
    found = [batch.output_file_id, batch.error_file_id]
    if job.params.get(OWNS_INPUT) and len(table.of_file(session, caller.tenant_id, batch.input_file_id)) == 1:
        found.append(batch.input_file_id)
    return [file_id for file_id in found if file_id is not None]


def cancel(session: Session, caller: Caller, batch_id: uuid.UUID) -> str | None:
    """Has the batch end, unless it ends already: its lines are ended and its files written soon. Idempotent.

    After the commit: a refill of the queue that it returns, if it does. Raises `NotFound`.
    """
    _, job = _there(table.find(session, caller.tenant_id, batch_id, lock=True))
    if job.finished_at is not None:
        return None
    queues = _end(session, [batch_id], "cancelled")
    return queues[0] if queues else None


def expire(session: Session, limit: int) -> list[str]:
    """Has batches end whose window has, at most `limit`. After the commit: a refill of the queues that it returns."""
    return _end(session, table.locked(session, table.late(limit)), "expired")


def hurry(session: Session, limit: int) -> list[str]:
    """Moves on the jobs of batches that are to end, and began to wait for their lines just before they were told.

    After the commit: a refill of the queues that it returns.
    """
    return _move_on(session, table.locked(session, table.stuck(limit)))


def _end(session: Session, batch_ids: Collection[uuid.UUID], ending: Ending) -> list[str]:
    return _move_on(session, table.end(session, batch_ids, ending)) if batch_ids else []


def _move_on(session: Session, batch_ids: Collection[uuid.UUID]) -> list[str]:
    """Queues those of these jobs that wait for their lines, whose stage then ends them; in which queues."""
    if not batch_ids:
        return []
    families.lock(session, batch_ids)
    moved = lifecycle.move(session, Status.QUEUED, Job.id.in_(batch_ids), Job.status == Status.WAITING)
    return sorted({job.queue for job in moved})


def _there(row: tuple[Batch, Job] | None) -> tuple[Batch, Job]:
    if row is None:
        raise errors.NotFound("no such batch")
    return row


def _shown(session: Session, found: Sequence[tuple[Batch, Job]], counting: Counting) -> list[BatchView]:
    moving = [row.job_id for row, _ in found if row.totals is None and row.lines]
    told = {id: counting.of(session, id) for id in moving}
    return [_view(row, job, *_totals(row, told.get(row.job_id, []))) for row, job in found]


def _totals(row: Batch, told: Iterable[tuple[str, int, Mapping[str, int]]]) -> tuple[Counts, Spent]:
    if row.totals is not None:
        return Counts(**row.totals["counts"]), Spent(**row.totals["spent"])
    return totals(row.lines, told)


def totals(lines: int, told: Iterable[tuple[str, int, Mapping[str, int]]]) -> tuple[Counts, Spent]:
    """What these counts of so many lines by their statuses come to, and what all have spent."""
    spent, counted = Counter[str](), list(told)
    for _, _, used in counted:
        spent.update(used)
    tally = tallied(counted)
    return Counts(lines, tally.succeeded, tally.failed + tally.ended_with_it), Spent(**spent)


def _view(row: Batch, job: Job, counts: Counts, spent: Spent) -> BatchView:
    ending, ended_at, told = row.ending, row.ended_at, row.errors
    if ended_at is None and job.finished_at is not None:  # its job was ended from outside, or took workers with it
        ending = naming.batch_ending(job.status)
        ended_at = job.finished_at
        if ending == "failed":
            told = [FileError(job.error_code or "internal", job.error_message or "it failed").plain()]
    return BatchView(
        id=row.job_id,
        tenant_id=row.tenant_id,
        endpoint=row.endpoint,
        model=row.model,
        status=_status(row, ending, ended_at),
        input_file_id=row.input_file_id,
        output_file_id=row.output_file_id,
        error_file_id=row.error_file_id,
        errors=tuple(told) if told else None,
        completion_window=row.completion_window,
        created_at=job.created_at,
        in_progress_at=row.in_progress_at,
        expires_at=row.expires_at,
        ending=ending,
        ending_at=row.ending_at,
        finalizing_at=row.finalizing_at,
        ended_at=ended_at,
        counts=counts,
        spent=spent,
        tally=Tally(**row.totals["tally"]) if row.totals and "tally" in row.totals else None,
        metadata=job.labels,
    )


def _status(row: Batch, ending: Any, ended_at: dt.datetime | None) -> BatchStatus:
    if ended_at is not None:
        status: BatchStatus = ending
        return status
    if ending == "cancelled":
        return "cancelling"
    if ending is not None:
        return "finalizing"
    return "in_progress" if row.in_progress_at is not None else "validating"
