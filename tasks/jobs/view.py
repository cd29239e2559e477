"""A job as the world sees it, and the API's object of it: a text in `Annotated` is what the API's page says."""

import datetime as dt
import uuid
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from db.jobs import LANES, Job, JobOutput
from tasks import ids, times
from tasks.jobs import lifecycle
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import KindName
from tasks.limits.spent import Spent
from tasks.streams.events import Ended
from tasks.telemetry import JobEnded
from tasks.times import Moment

# Those that clients are shown.
STATUSES = tuple(dict.fromkeys(lifecycle.shown(status) for status in Status))


class Progress(TypedDict):
    """How much is done: tokens of the prompt, texts to embed, bytes of the documents to ingest."""

    done: int
    total: int


class JobError(TypedDict):
    code: str
    message: str


class Usage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    embedding_tokens: NotRequired[Annotated[int, "Of a `rag` job: what the search for passages took."]]


class Links(TypedDict):
    self: str
    events: str
    cancel: str
    retry: str
    results: NotRequired[Annotated[str, "Of a summary."]]


class JobObject(TypedDict):
    """One job, in answers, in its last event and in webhooks' messages."""

    id: str
    object: Literal["job"]
    type: KindName
    model: str
    status: Annotated[str, {"enum": STATUSES}]
    lane: Annotated[str, {"enum": LANES}]
    priority: int
    created_at: Annotated[Moment, "When it was accepted."]
    started_at: Annotated[Moment | None, "When it was first claimed."]
    finished_at: Annotated[Moment | None, "When it ended."]
    run_at: Annotated[Moment | None, "It starts no earlier."]
    expires_at: Annotated[Moment | None, "It is expired unless it has started by then."]
    deadline_s: Annotated[int | None, "Seconds from its first start to its end, at most."]
    retry_of: Annotated[str | None, "The job of which this is a retry."]
    position: Annotated[int | None, "About how many go first, counted to 1000; asked of one waiting job, else null."]
    attempt: Annotated[
        int, "Runs so far, and ends from outside; a thousand more each time that the database was restored meanwhile."
    ]
    progress: Progress | None
    result: Annotated[
        dict[str, Any] | None,
        "`generate`: text, finish_reason. `chat`, `response`: message (role, content), finish_reason."
        " `embed`: embeddings, dimensions; in lists and events a link instead."
        " `rerank`: results (index, relevance_score),"
        " tokens. `rag`: text, finish_reason, answered, question, passages, citations."
        " `ingest`: collection, documents, chunks. `reembed`: collection, model, dimensions, chunks."
        " `count`: input_tokens."
        " `summary`: documents by how they ended; of all, summary, sentences.",
    ]
    error: JobError | None
    usage: Usage | None
    metadata: dict[str, str]
    links: Links


@dataclass(frozen=True, slots=True)
class JobView:
    """One job, whole, detached from the database. Times are UTC; `position` is None unless the caller looked for it.

    `spent` is what it has used so far; clients are told when it has ended, as `usage`.

    `queue` is where its present stage runs or waits; clients aren't shown it.
    """

    id: uuid.UUID
    tenant_id: uuid.UUID
    type: str
    model: str
    queue: str
    status: str
    lane: str
    priority: int
    attempt: int
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    progress: Progress | None
    result: dict[str, Any] | None
    error: JobError | None
    spent: Spent
    metadata: dict[str, str]
    run_at: dt.datetime | None
    expires_at: dt.datetime | None
    deadline_s: int | None
    retry_of: uuid.UUID | None
    position: int | None = None
    parent_id: uuid.UUID | None = None

    @property
    def ended(self) -> bool:
        return self.status in lifecycle.TERMINAL

    @property
    def usage(self) -> Usage | None:
        """The usage object of the API."""
        if not self.ended:
            return None
        usage: Usage = {"prompt_tokens": self.spent.prompt, "completion_tokens": self.spent.completion}
        if self.spent.embedding:
            usage["embedding_tokens"] = self.spent.embedding
        return usage

    def end(self) -> Ended:
        """How the job ended, as its stream tells it."""
        error, progress = self.error, self.progress
        return Ended(
            status=self.status,
            result=self.result,
            spent=self.spent,
            error=(error["code"], error["message"]) if error else None,
            progress=(progress["done"], progress["total"]) if progress else None,
            started_at=self.started_at,
            finished_at=self.finished_at,
        )

    def ended_fact(self) -> JobEnded:
        """What telemetry is told of the job's end."""
        code = self.error["code"] if self.error else None
        spent = self.spent
        return JobEnded(
            self.id, self.type, self.model, self.status, code, spent.prompt, spent.completion, spent.embedding
        )

    def ended_by(self, attempt: int, end: Ended) -> "JobView":
        """This job, looked at before it ended, as it ended under that attempt."""
        return replace(
            self,
            status=end.status,
            attempt=attempt,
            started_at=end.started_at,
            finished_at=end.finished_at,
            progress={"done": end.progress[0], "total": end.progress[1]} if end.progress else None,
            result=end.result,
            error={"code": end.error[0], "message": end.error[1]} if end.error else None,
            spent=end.spent,
            position=None,
        )

    def as_json(self) -> JobObject:
        """The job object of the API."""
        shown = ids.show(self.id)
        return {
            "id": shown,
            "object": "job",
            "type": KindName(self.type),
            "model": self.model,
            "status": self.status,
            "lane": self.lane,
            "priority": self.priority,
            "created_at": times.show(self.created_at),
            "started_at": times.show(self.started_at),
            "finished_at": times.show(self.finished_at),
            "run_at": times.show(self.run_at),
            "expires_at": times.show(self.expires_at),
            "deadline_s": self.deadline_s,
            "retry_of": ids.show(self.retry_of) if self.retry_of else None,
            "position": self.position,
            "attempt": self.attempt,
            "progress": self.progress,
            "result": self.result,
            "error": self.error,
            "usage": self.usage,
            "metadata": self.metadata,
            "links": self._links(shown),
        }

    def _links(self, shown: str) -> Links:
        job = f"/v1/jobs/{shown}"
        is_summary = self.type == "summary" and self.parent_id is None
        path = f"/v1/summaries/{shown}" if is_summary else job
        links: Links = {
            "self": path,
            "events": f"{path}/events",
            "cancel": f"{job}/cancel",
            "retry": f"{path}/retry",
        }
        if is_summary:
            links["results"] = f"{path}/results"
        return links


def of(job: Job, result: dict[str, Any] | None) -> JobView:
    """The view of a row and its result."""
    return JobView(
        id=job.id,
        tenant_id=job.tenant_id,
        type=job.type,
        model=job.model,
        queue=job.queue,
        status=lifecycle.shown(job.status),
        lane=job.lane,
        priority=job.priority,
        attempt=job.attempt,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        progress=_progress(job),
        result=result,
        error={"code": job.error_code, "message": job.error_message or ""} if job.error_code else None,
        spent=spent(job),
        metadata=job.labels,
        run_at=job.run_at,
        expires_at=job.expires_at,
        deadline_s=job.deadline_s,
        retry_of=job.retry_of,
        parent_id=job.parent_id,
    )


def with_output(job: Job, output: JobOutput | None) -> JobView:
    return of(job, output.result if output else None)


def spent(job: Job) -> Spent:
    """The running sum of a job's row."""
    return Spent(job.prompt_tokens or 0, job.completion_tokens or 0, job.embedding_tokens or 0, job.cached_tokens or 0)


def _progress(job: Job) -> Progress | None:
    if job.progress_done is None or job.progress_total is None:
        return None
    return {"done": job.progress_done, "total": job.progress_total}
