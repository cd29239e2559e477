"""What a batch's lines came to, in their order, a few at a time."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db import batches as table
from db import vectors
from db.batches import EndedLine
from db.session import Transactions
from db.vectors import JobVectors
from tasks import ids
from tasks.jobs import view
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView

ABOUT = "line"  # under this name a line's job has what its answer is rendered by beyond it
REFUSED = "refused"  # of one that couldn't be asked, in there: the field that was at fault, or None
_AT_ONCE, _AT_ONCE_BYTES = 200, 1024 * 1024  # of results, which may be a tenth of what they are when they are read


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """A line whose job has ended: what it is called, its job, how it was asked for, and the vectors it made. `asked` is
    what was asked where its answer tells that again, else empty.

    A line that asks what an earlier one asks has that one's job, under an id of its own (`twins`).
    """

    place: int
    custom_id: str
    job: JobView
    asked: Mapping[str, Any]
    params: Mapping[str, Any]
    vectors: NDArray[np.float32] | None


def lots(
    scope: Transactions, job_id: uuid.UUID, *, succeeded: bool, full_from: int | None = None, after: int = -1
) -> Iterator[list[LineAnswer]]:
    """Lines of the batch that have ended, lot by lot, from the one after this place on: those that succeeded, or the
    others, to which all belong from the place `full_from` on."""
    while lot := _some(scope, job_id, succeeded, full_from, after):
        yield lot
        after = lot[-1].place


def _some(
    scope: Transactions, job_id: uuid.UUID, succeeded: bool, full_from: int | None, after: int
) -> list[LineAnswer]:
    with scope.begin() as session:
        most = {"limit": _AT_ONCE, "most_bytes": _AT_ONCE_BYTES}
        found = table.ended_lines(session, job_id, succeeded=succeeded, full_from=full_from, after=after, **most)
        made = vectors_of(session, found)
        return [of(job_id, line, made) for line in found]


def vectors_of(session: Session, found: Sequence[EndedLine]) -> Mapping[uuid.UUID, JobVectors]:
    """What these lines' jobs keep of vectors, by their ids."""
    embedded = {line.job.id for line in found if line.job.type == "embed" and line.job.status == Status.SUCCEEDED}
    return table.vectors(session, embedded) if embedded else {}


def of(batch_id: uuid.UUID, line: EndedLine, made: Mapping[uuid.UUID, JobVectors]) -> LineAnswer:
    """A line that has ended so, with those of the vectors that are its own. A twin is told under an id of its own."""
    job, own = view.of(line.job, line.result), made.get(line.job.id)
    return LineAnswer(
        line.place,
        line.label,
        replace(job, id=ids.derived(batch_id, line.place)) if line.is_twin else job,
        line.job.input if "echo" in line.job.params.get(ABOUT, {}) else {},
        line.job.params,
        None if own is None else vectors.rows(own),
    )
