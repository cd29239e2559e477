"""What has come of a summary so far: each document's summary in the order of their ends, and how many there are."""

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from db import summaries
from db.documents import chosen
from db.jobs import Job, JobOutput
from db.scope import scope
from tasks import errors, ids
from tasks.jobs import jobs, lifecycle, view
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.keys import Caller


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one document. `number` counts a summary's results from 1, as they came.

    `said` is the document job's result, None where it has none: then there is an error (code, message). `spent` are the
    tokens of prompts and answers, of all its steps.
    """

    number: int
    job_id: uuid.UUID
    document_id: uuid.UUID | None
    filename: str | None
    title: str | None
    status: str
    said: Mapping[str, Any] | None
    error: tuple[str, str] | None
    spent: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Progress:
    """A summary as it is now: its job, what of its documents is in which status, and what was spent in all."""

    job: JobView
    documents: int
    statuses: Mapping[str, int]
    spent: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many documents ended in which way, and what the first of those that failed did of."""

    succeeded: int
    failed: int
    cancelled: int
    error: tuple[str, str] | None

    def counts(self) -> dict[str, Any]:
        told = {"succeeded": self.succeeded, "failed": self.failed, "cancelled": self.cancelled}
        return {"documents": sum(told.values()), **told}


def find(session: Session, caller: Caller, summary_id: uuid.UUID) -> tuple[Job, JobOutput | None, int]:
    """The tenant's summary, and how many documents it has. Raises `NotFound`, for other jobs too."""
    job, output = jobs.find(session, caller, summary_id)
    documents = summaries.documents(session, summary_id) if job.type == "summary" else None
    if documents is None:
        raise errors.NotFound(f"no summary {ids.show(summary_id)}")
    return job, output, documents


def look(session: Session, caller: Caller, summary_id: uuid.UUID) -> Progress:
    """The tenant's summary as it is now. Raises `NotFound`."""
    job, output, documents = find(session, caller, summary_id)
    found = summaries.counts(session, summary_id, documents)
    statuses = Counter[str]()
    for status, number in found.items():
        statuses[lifecycle.shown(status)] += number
    missing = documents - sum(found.values())
    statuses["cancelled" if job.finished_at else "queued"] += missing
    spent = summaries.spent_in_all(session, summary_id)
    return Progress(view.with_output(job, output), documents, dict(+statuses), spent)


def page(
    session: Session, caller: Caller, summary_id: uuid.UUID, *, after: int, limit: int
) -> tuple[list[Result], bool]:
    """The results after that number, at most `limit`; True when there are more by now. Raises `NotFound`."""
    _, _, documents = find(session, caller, summary_id)
    summaries.number_ends(session, summary_id, documents)
    found = summaries.results(session, summary_id, after, limit + 1)
    page, more = found[:limit], len(found) > limit
    spent = summaries.spent(session, [job.id for _, job, _ in page])
    asked = {job.id: ids.parse(job.input["document"], ids.DOCUMENT) for _, job, _ in page}
    with scope(session, caller.tenant_id):
        names = chosen.names(session, caller.tenant_id, [id for id in asked.values() if id])
    told = []
    for number, job, said in page:
        document_id = asked[job.id]
        filename, title = names.get(document_id, (None, None)) if document_id else (None, None)
        children, own = spent.get(job.id, (0, 0)), view.spent(job)
        error = (
            None if said is not None else (job.error_code or job.status, job.error_message or f"it was {job.status}")
        )
        told.append(
            Result(
                number=number,
                job_id=job.id,
                document_id=document_id,
                filename=filename,
                title=title,
                status=lifecycle.shown(job.status),
                said=said,
                error=error,
                spent=(children[0] + own.prompt, children[1] + own.completion),
            )
        )
    return told, more


def tallied(session: Session, summary_id: uuid.UUID, documents: int) -> Tally:
    """How the summary's documents ended."""
    ended = Counter[str]()
    error = None
    for status, code, message in summaries.ends(session, summary_id, documents):
        ended[status] += 1
        if error is None and status == Status.FAILED:
            error = (code or status, message or "")
    others = ended.total() - ended[Status.SUCCEEDED] - ended[Status.FAILED]
    return Tally(ended[Status.SUCCEEDED], ended[Status.FAILED], others, error)
