"""Stored completions: chats that their clients asked to keep, looked at, noted on and erased by themselves."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from db import listing
from db.jobs import Job, JobOutput
from tasks import errors
from tasks.jobs import jobs, view
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.keys import Caller


def page(session: Session, caller: Caller, limit: int, **which: Any) -> tuple[list[JobView], bool]:
    """The tenant's stored completions, at most `limit`, and whether there are more; `which` as in `listing.stored`."""
    found = listing.stored(session, caller.tenant_id, limit=limit + 1, **which)
    return [view.with_output(job, output) for job, output in found[:limit]], len(found) > limit


def get(session: Session, caller: Caller, job_id: uuid.UUID) -> JobView:
    """One of them. Raises `NotFound`."""
    return view.with_output(*_find(session, caller, job_id))


def messages(session: Session, caller: Caller, job_id: uuid.UUID) -> Sequence[Mapping[str, Any]]:
    """What was asked, message by message, as it is stored. Raises `NotFound`."""
    job, _ = _find(session, caller, job_id)
    asked: Sequence[Mapping[str, Any]] = job.input["messages"]
    return asked


def note(session: Session, caller: Caller, job_id: uuid.UUID, metadata: Mapping[str, str]) -> JobView:
    """Puts other notes in the place of those it has. Raises `NotFound`."""
    job, output = _find(session, caller, job_id)
    job.labels = dict(metadata)
    session.flush()
    return view.with_output(job, output)


def _find(session: Session, caller: Caller, job_id: uuid.UUID) -> tuple[Job, JobOutput | None]:
    job, output = jobs.find(session, caller, job_id)
    if not job.store or job.status != Status.SUCCEEDED or job.parent_id is not None:
        raise errors.NotFound("no such stored completion")
    return job, output
