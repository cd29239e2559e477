"""What the ends of batches and responses are called where OpenAI's clients are told of them, beside `job.*`.

Here is the one place that says so, kind by kind. A kind of another name has ends that only `job.*` tells.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db import batches
from db import jobs as jobs_table
from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView


@dataclass(frozen=True, slots=True)
class Name:
    """The type of an event, and the id under which clients know what it happened to."""

    type: str
    object_id: str


def _batches(session: Session, ended: Sequence[JobView]) -> dict[uuid.UUID, Name]:
    """Each as its batch has ended, whatever became of the job that wrote its files."""
    endings = batches.endings(session, [job.id for job in ended])
    return {
        job.id: Name(f"batch.{endings.get(job.id) or batch_ending(job.status)}", ids.show(job.id, ids.BATCH))
        for job in ended
    }


def batch_ending(status: str) -> str:
    """How a batch has ended whose job was ended from outside, or took workers with it, before its files were there."""
    return {Status.CANCELLED: "cancelled", Status.EXPIRED: "expired"}.get(Status(status), "failed")


def _responses(session: Session, ended: Sequence[JobView]) -> dict[uuid.UUID, Name]:
    """Those that ran in the background: who waits for another has been answered."""
    background = jobs_table.in_background(session, [job.id for job in ended])
    return {
        job.id: Name(f"response.{_response_status(job)}", ids.show(job.id, ids.RESPONSE))
        for job in ended
        if job.id in background
    }


def _response_status(ended: JobView) -> str:
    if ended.status == Status.SUCCEEDED:
        return "incomplete" if (ended.result or {}).get("finish_reason") == "length" else "completed"
    return "cancelled" if ended.status == Status.CANCELLED else "failed"


Namer = Callable[[Session, Sequence[JobView]], Mapping[uuid.UUID, Name]]

_NAMERS: dict[str, Namer] = {"batch": _batches, "response": _responses}


def names(session: Session, ended: Sequence[JobView]) -> dict[uuid.UUID, Name]:
    """What these ends are called, by job; nothing of those that have no name but `job.*`."""
    found: dict[uuid.UUID, Name] = {}
    for kind, namer in _NAMERS.items():
        if theirs := [job for job in ended if job.type == kind]:
            found.update(namer(session, theirs))
    return found
