"""A job as the world sees it."""

import datetime as dt
import uuid
from dataclasses import dataclass, replace
from typing import Any

from db.jobs import Job, JobOutput
from tasks import ids, times
from tasks.jobs import lifecycle
from tasks.limits.spent import Spent
from tasks.streams.events import Ended
from tasks.telemetry import JobEnded


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
    progress: dict[str, int] | None
    result: dict[str, Any] | None
    error: dict[str, str] | None
    spent: Spent
    metadata: dict[str, str]
    run_at: dt.datetime | None
    expires_at: dt.datetime | None
    deadline_s: int | None
    retry_of: uuid.UUID | None
    position: int | None = None

    @property
    def ended(self) -> bool:
        return self.status in lifecycle.TERMINAL

    @property
    def usage(self) -> dict[str, int] | None:
        """The usage object of the API."""
        if not self.ended:
            return None
        usage = {"prompt_tokens": self.spent.prompt, "completion_tokens": self.spent.completion}
        return usage | ({"embedding_tokens": self.spent.embedding} if self.spent.embedding else {})

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

    def as_json(self) -> dict[str, Any]:
        """The job object of the API."""
        shown = ids.show(self.id)
        path = f"/v1/jobs/{shown}"
        return {
            "id": shown,
            "object": "job",
            "type": self.type,
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
            "links": {
                "self": path,
                "events": f"{path}/events",
                "cancel": f"{path}/cancel",
                "retry": f"{path}/retry",
            },
        }


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
        progress=_pair(done=job.progress_done, total=job.progress_total),
        result=result,
        error={"code": job.error_code, "message": job.error_message or ""} if job.error_code else None,
        spent=spent(job),
        metadata=job.labels,
        run_at=job.run_at,
        expires_at=job.expires_at,
        deadline_s=job.deadline_s,
        retry_of=job.retry_of,
    )


def with_output(job: Job, output: JobOutput | None) -> JobView:
    return of(job, output.result if output else None)


def spent(job: Job) -> Spent:
    """The running sum of a job's row."""
    return Spent(job.prompt_tokens or 0, job.completion_tokens or 0, job.embedding_tokens or 0, job.cached_tokens or 0)


def _pair(**counts: int | None) -> dict[str, int] | None:
    known = {name: count for name, count in counts.items() if count is not None}
    return known if len(known) == len(counts) else None
