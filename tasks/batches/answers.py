"""What a batch's lines came to, in their order, a few at a time."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db import batches as table
from db import vectors
from db.jobs import Job
from db.session import Transactions
from db.vectors import JobVectors
from tasks.jobs import view
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView

ABOUT = "line"  # under this name a line's job has what its answer is rendered by beyond it
_AT_ONCE, _AT_ONCE_BYTES = 200, 1024 * 1024  # of results, which may be a tenth of what they are when they are read


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """A line whose job has ended: what it is called, its job, how it was asked for, and the vectors it made. `asked` is
    what was asked where its answer tells that again, else empty."""

    place: int
    custom_id: str
    job: JobView
    asked: Mapping[str, Any]
    params: Mapping[str, Any]
    vectors: NDArray[np.float32] | None


def lots(scope: Transactions, job_id: uuid.UUID, *, succeeded: bool, after: int = -1) -> Iterator[list[LineAnswer]]:
    """Lines of the batch that have ended, from the one after this place on, lot by lot: those that succeeded, or the
    others."""
    while lot := _some(scope, job_id, succeeded, after):
        yield lot
        after = lot[-1].place


def _some(scope: Transactions, job_id: uuid.UUID, succeeded: bool, after: int) -> list[LineAnswer]:
    with scope.begin() as session:
        found = table.ended_lines(
            session, job_id, succeeded=succeeded, after=after, limit=_AT_ONCE, most_bytes=_AT_ONCE_BYTES
        )
        made = vectors_of(session, [job for job, _ in found])
        return [of(job, result, made) for job, result in found]


def vectors_of(session: Session, jobs: Sequence[Job]) -> Mapping[uuid.UUID, JobVectors]:
    """What these lines' jobs keep of vectors, by their ids."""
    embedded = [job.id for job in jobs if job.type == "embed" and job.status == Status.SUCCEEDED]
    return table.vectors(session, embedded) if embedded else {}


def of(job: Job, result: dict[str, Any] | None, made: Mapping[uuid.UUID, JobVectors]) -> LineAnswer:
    """A line whose job has ended so, with those of the vectors that are its own."""
    own = made.get(job.id)
    return LineAnswer(
        job.place or 0,
        job.label or "",
        view.of(job, result),
        job.input if "echo" in job.params.get(ABOUT, {}) else {},
        job.params,
        None if own is None else vectors.rows(own),
    )
