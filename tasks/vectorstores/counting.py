"""How files of stores are counted, and which of them are told to have ended with their job."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from db.scope import scope
from db.vectorstores import attached
from db.vectorstores.attached import Ended
from db.vectorstores.pages import Page
from tasks.documents import library
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller

T = TypeVar("T")

Ends = dict[uuid.UUID, tuple[str, str | None, str | None]]  # of jobs: status, code, message


@dataclass(slots=True)
class Counts:
    """Files by their statuses; `bytes` are those of the completed ones."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    bytes: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled

    def add(self, status: str, count: int, size: int) -> None:
        setattr(self, status, getattr(self, status) + count)
        self.bytes += size if status == "completed" else 0


def by_collection(session: Session, caller: Caller, which: ColumnElement[bool]) -> dict[uuid.UUID, Counts]:
    """The files among these documents, counted by their collections."""
    with scope(session, caller.tenant_id):
        rows = attached.counted(session, caller.tenant_id, which)
    ends = ends_of(session, caller, {job for *_, job, _, _ in rows if job is not None})
    counts: dict[uuid.UUID, Counts] = {}
    for collection_id, status, cancelled, job, count, size in rows:
        assert collection_id is not None
        told = status_of(status, cancelled, ends.get(job) if job else None)
        counts.setdefault(collection_id, Counts()).add(told, count, size)
    return counts


def status_of(status: str, cancelled: bool, end: tuple[str, Any, Any] | None) -> str:
    """One of `attached.STATUSES` for a document's own; `end` is of the job that it waits for, where that has ended."""
    if status == "ready":
        return "completed"
    if status == "failed":
        return "cancelled" if cancelled else "failed"
    if end is None:
        return "in_progress"
    return "cancelled" if end[0] == Status.CANCELLED else "failed"


def ends_of(session: Session, caller: Caller, job_ids: Iterable[uuid.UUID]) -> Ends:
    """How those of the jobs have ended that have."""
    wanted = list(job_ids)
    return library.ended(session, caller, wanted) if wanted else {}


def ended_among(session: Session, caller: Caller, which: ColumnElement[bool]) -> Ended:
    """The jobs that have ended without these documents."""
    with scope(session, caller.tenant_id):
        waited_for = attached.waited_for(session, caller.tenant_id, which)
    ends = ends_of(session, caller, waited_for)
    cancelled = [job for job, end in ends.items() if end[0] == Status.CANCELLED]
    return Ended(cancelled, [job for job in ends if job not in cancelled])


def cut(found: Sequence[T], wanted: Page) -> tuple[list[T], bool]:
    """The page, of which one more than was wanted was read, and whether there are more."""
    if len(found) <= wanted.limit:
        return list(found), False
    backwards = wanted.before is not None and wanted.after is None
    return list(found[1:] if backwards else found[:-1]), True
