"""What a batch's stages note of it, each in a transaction of its attempt's."""

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import batches as table
from db import takeovers
from db import twins as twins_table
from db.batches import Batch
from db.takeovers import Wanted as Wanted
from tasks.batches import batches
from tasks.batches.batches import Counts, FileError
from tasks.batches.counting import Counted
from tasks.files.files import FileView
from tasks.jobs import family, fence, settlement
from tasks.jobs.family import Child
from tasks.limits.spent import Spent

_ENDS_WITHIN = dt.timedelta(days=1)


def ending(session: Session, job_id: uuid.UUID) -> str | None:
    """Why the batch is to end, if it is."""
    return table.of_job(session, job_id).ending


def lines(session: Session, job_id: uuid.UUID) -> int:
    """How many lines it has; 0 while that isn't known."""
    return table.of_job(session, job_id).lines


def ends_at(session: Session, job_id: uuid.UUID) -> dt.datetime:
    """When its window ends."""
    return table.of_job(session, job_id).expires_at


def has_waited_enough(session: Session, job_id: uuid.UUID) -> bool:
    """Whether the batch has been about to end for so long that it is to go wrong rather than to wait on."""
    since = table.of_job(session, job_id).ending_at
    return since is not None and dt.datetime.now(dt.UTC) - since > _ENDS_WITHIN


def checked(session: Session, job_id: uuid.UUID, attempt: int, lines: int, model: str | None) -> None:
    """Notes that all its lines are right, how many they are, and the model that they all ask. Raises `Fenced`."""
    fence.guard(session, job_id, attempt)
    table.note(session, job_id, lines=lines, model=model, in_progress_at=func.clock_timestamp())


def failed(session: Session, job_id: uuid.UUID, attempt: int, found: Sequence[FileError]) -> None:
    """Notes what is wrong with the file: the batch is to end for that, unless it ends already. Raises `Fenced`."""
    fence.guard(session, job_id, attempt)
    if table.end(session, [job_id], "failed"):
        table.note(session, job_id, errors=[error.plain() for error in found])


def finalizing(session: Session, job_id: uuid.UUID, attempt: int) -> Batch | None:
    """The batch, of which nothing is left but to write its files; None while lines of it haven't ended.

    Raises `Fenced`.
    """
    fence.guard(session, job_id, attempt)
    if table.unfinished(session, job_id):
        return None
    table.end(session, [job_id], "completed")
    row = table.of_job(session, job_id)
    if row.finalizing_at is None and row.in_progress_at is not None:
        table.note(session, job_id, finalizing_at=func.clock_timestamp())
    return table.of_job(session, job_id)


def written(session: Session, job_id: uuid.UUID) -> int:
    """How many of its lines have been made jobs, or twins of such: the first ones."""
    return table.written(session, job_id)


def twins(session: Session, job_id: uuid.UUID, attempt: int, found: Sequence[tuple[int, int, str]]) -> None:
    """Writes down twins: the place of each, that of the line whose job answers it, and what it is called.

    Raises `Fenced`.
    """
    fence.guard(session, job_id, attempt)
    rows = [{"job_id": job_id, "place": place, "of_place": of, "label": label} for place, of, label in found]
    twins_table.add(session, rows)


def refused(
    session: Session, job_id: uuid.UUID, attempt: int, children: Sequence[tuple[Child, tuple[str, str]]]
) -> None:
    """Writes down lines that can't be answered, as jobs that have failed, each with its error's code and message.

    Idempotent. Raises `Fenced`.
    """
    settlement.keep(session, family.adopt_failed(session, job_id, attempt, children))


def take_over(
    session: Session, job_id: uuid.UUID, attempt: int, earlier: uuid.UUID, lines: Sequence[Wanted]
) -> set[int]:
    """Makes those of these lines that an earlier batch has answers to this batch's own; which places these are.
    Idempotent. Raises `Fenced`."""
    fence.guard(session, job_id, attempt)
    return takeovers.of_batch(session, job_id, earlier, lines)


def share(session: Session, job_id: uuid.UUID, attempt: int, tenant_id: uuid.UUID, lines: Sequence[Wanted]) -> set[int]:
    """Makes those of these lines, each with a digest, that any batch of the tenant's has answers to this batch's own;
    which places these are. Later batches find all of them here once they have succeeded. Raises `Fenced`."""
    fence.guard(session, job_id, attempt)
    return takeovers.of_equals(session, job_id, tenant_id, lines)


def answered(session: Session, tenant_id: uuid.UUID, digests: Collection[uuid.UUID]) -> int:
    """How many of these digests of lines `share` would find an answer to."""
    return takeovers.answered(session, tenant_id, digests)


def kept(session: Session, job_id: uuid.UUID, attempt: int, file: FileView, *, output: bool) -> None:
    """Notes which file is the batch's, in the transaction that makes it: there is never a second. Raises `Fenced`."""
    fence.guard(session, job_id, attempt)
    table.note(session, job_id, **{"output_file_id" if output else "error_file_id": file.id})


def full(session: Session, job_id: uuid.UUID, attempt: int, place: int) -> None:
    """Notes that lines from this place on have no room in the output file. Raises `Fenced`."""
    fence.guard(session, job_id, attempt)
    table.note(session, job_id, full_from=place)


def ended(session: Session, job_id: uuid.UUID, attempt: int) -> Batch:
    """Notes that all is written, and what it came to. Idempotent: the first word stays. Raises `Fenced`."""
    fence.guard(session, job_id, attempt)
    row = table.of_job(session, job_id)
    if row.ended_at is None:
        told = table.counts(session, [job_id]).get(job_id, [])
        counts, spent = _totals(row, told, table.left_out(session, job_id))
        tally = asdict(batches.tallied(told))
        totals: dict[str, Any] = {"counts": asdict(counts), "spent": asdict(spent), "tally": tally}
        table.note(session, job_id, totals=totals, ended_at=func.clock_timestamp())
        row = table.of_job(session, job_id)
    return row


def _totals(row: Batch, told: Counted, left_out: int) -> tuple[Counts, Spent]:
    """Each line has an answer in the output file or an error."""
    counts, spent = batches.totals(row.lines, told)
    completed = counts.completed - left_out
    return Counts(row.lines, completed, row.lines - completed), spent
