"""File batches: the ingest jobs by which files were attached to a store."""

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from db.jobs import Job
from db.scope import scope
from db.vectorstores import attached, pages
from tasks import errors
from tasks.jobs import jobs
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tasks.vectorstores import files, stores
from tasks.vectorstores.counting import Counts

MAX_FILES = 2000  # of a batch

BatchStatus = Literal["in_progress", "completed", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class FileBatch:
    """What is told of it: its files are those that it attached and that are in the store still."""

    job_id: uuid.UUID
    store_id: uuid.UUID
    status: BatchStatus
    counts: Counts
    created_at: dt.datetime


def get(session: Session, caller: Caller, store_id: uuid.UUID, job_id: uuid.UUID) -> FileBatch:
    """Raises `NotFound`."""
    job = _job(session, caller, store_id, job_id)
    counts = files.counts(session, caller, attached.of_job(store_id, job_id), store_id)
    return FileBatch(job_id, store_id, _status(job.status, counts), counts, job.created_at)


def page(
    session: Session, caller: Caller, store_id: uuid.UUID, job_id: uuid.UUID, wanted: pages.Page, *, status: str | None
) -> tuple[list[files.StoredFile], bool]:
    """Its files. Raises like `files.page`."""
    _job(session, caller, store_id, job_id)
    return files.page(session, caller, store_id, wanted, status=status, job_id=job_id)


def require(session: Session, caller: Caller, store_id: uuid.UUID, job_id: uuid.UUID) -> None:
    """Raises `NotFound` unless the store has the batch."""
    _job(session, caller, store_id, job_id)


def cancelled(session: Session, caller: Caller, job_id: uuid.UUID) -> None:
    """Notes on the files that wait for the job, which was cancelled, that they were too: the job may be forgotten.

    Idempotent; does nothing where it has ended in another way. Raises `NotFound`.
    """
    if jobs.find(session, caller, job_id)[0].status == Status.CANCELLED:
        with scope(session, caller.tenant_id):
            why = "the batch that attached it was cancelled"
            attached.give_up(session, caller.tenant_id, job_id, attached.CANCELLED, why, MAX_FILES)


def _status(job: str, counts: Counts) -> BatchStatus:
    """Clients wait until no file is in progress: from then on it has ended, whether its job has written that down or
    not."""
    if counts.in_progress:
        return "in_progress"
    if job == Status.CANCELLED or counts.cancelled:
        return "cancelled"
    return "failed" if counts.failed and not counts.completed else "completed"


def _job(session: Session, caller: Caller, store_id: uuid.UUID, job_id: uuid.UUID) -> Job:
    stores.require(session, caller, store_id)
    job, _ = jobs.find(session, caller, job_id)
    if job.type != "ingest" or job.input.get("collection") != stores.collection_name(store_id):
        raise errors.NotFound("no such batch in the store")
    return job
