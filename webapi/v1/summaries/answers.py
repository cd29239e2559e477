"""What clients are answered about summaries."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from dialects.named import DOCUMENT, JOB
from tasks import times
from tasks.jobs.view import STATUSES, JobError, Links, Usage
from tasks.summaries.estimates import Estimate
from tasks.summaries.results import Progress, Result
from tasks.times import Moment


class SummaryCounts(TypedDict):
    """How many documents are in each status."""

    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


By = Annotated[
    Literal["model", "text"], "`text` where it stands in the document word for word, whether or not the model said it."
]


class CombinedSentence(TypedDict):
    text: str
    by: By
    documents: Annotated[list[str], "From which it comes, the likeliest first."]


class Summary(TypedDict):
    """A summary as it is now; its job has the same id."""

    id: str
    object: Literal["summary"]
    status: Annotated[str, {"enum": STATUSES}]
    model: str
    documents: int
    counts: SummaryCounts
    summary: Annotated[str | None, "Of all documents, where `combine` asked for it and it has ended."]
    sentences: list[CombinedSentence]
    error: JobError | None
    usage: Annotated[Usage, "Of all its documents and their steps so far."]
    metadata: dict[str, str]
    created_at: Moment
    finished_at: Moment | None
    links: Links


class Sentence(TypedDict):
    text: str
    by: By
    chunks: Annotated[
        list[int], "Of its document, from which it comes, the likeliest first; none where that has no chunks."
    ]
    begins: Annotated[int | None, "Where in the document's text the likeliest sentence begins."]
    ends: int | None
    page: int | None


class SummaryResult(TypedDict):
    """What became of one document."""

    number: Annotated[int, "Counts from 1, in the order in which they came."]
    object: Literal["summary.result"]
    document_id: str | None
    job_id: str
    filename: str | None
    title: str | None
    status: Annotated[str, {"enum": STATUSES}]
    summary: str | None
    sentences: list[Sentence]
    steps: Annotated[int | None, "That it took, `cached_steps` of them taken before and free of charge."]
    cached_steps: int | None
    skipped_parts: NotRequired[Annotated[int, "Of which the model had nothing to say."]]
    error: JobError | None
    usage: Usage


class EstimatedLevel(TypedDict):
    level: Annotated[int, "0 is of the documents' own text."]
    steps: int


class SummaryEstimate(TypedDict):
    """About what a summary would take, from the sizes of its documents: nothing of it has been read."""

    object: Literal["summary.estimate"]
    model: str
    documents: int
    jobs: int
    steps: list[EstimatedLevel]
    prompt_tokens: int
    completion_tokens: int
    seconds: Annotated[float | None, "By what the model did lately; null where it did nothing."]


def summary(found: Progress) -> Summary:
    job, result = found.job, found.job.result or {}
    shown = job.as_json()
    counts: SummaryCounts = {
        "queued": found.statuses.get("queued", 0),
        "running": found.statuses.get("running", 0),
        "succeeded": found.statuses.get("succeeded", 0),
        "failed": found.statuses.get("failed", 0),
        "cancelled": found.statuses.get("cancelled", 0) + found.statuses.get("expired", 0),
    }
    return {
        "id": shown["id"],
        "object": "summary",
        "status": shown["status"],
        "model": shown["model"],
        "documents": found.documents,
        "counts": counts,
        "summary": result.get("summary"),
        "sentences": result.get("sentences", []),
        "error": shown["error"],
        "usage": {"prompt_tokens": found.spent[0], "completion_tokens": found.spent[1]},
        "metadata": shown["metadata"],
        "created_at": times.show(job.created_at),
        "finished_at": times.show(job.finished_at),
        "links": shown["links"],
    }


def result(found: Result) -> SummaryResult:
    said: Mapping[str, Any] = found.said or {}
    told: SummaryResult = {
        "number": found.number,
        "object": "summary.result",
        "document_id": DOCUMENT.show(found.document_id) if found.document_id else None,
        "job_id": JOB.show(found.job_id),
        "filename": found.filename,
        "title": found.title,
        "status": found.status,
        "summary": said.get("summary"),
        "sentences": said.get("sentences", []),
        "steps": said.get("steps"),
        "cached_steps": said.get("cached_steps"),
        "error": {"code": found.error[0], "message": found.error[1]} if found.error else None,
        "usage": {"prompt_tokens": found.spent[0], "completion_tokens": found.spent[1]},
    }
    if "skipped_parts" in said:
        told["skipped_parts"] = said["skipped_parts"]
    return told


def estimate(found: Estimate) -> SummaryEstimate:
    return {
        "object": "summary.estimate",
        "model": found.model,
        "documents": found.documents,
        "jobs": found.jobs,
        "steps": [{"level": level, "steps": steps} for level, steps in enumerate(found.levels)],
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": found.completion_tokens,
        "seconds": found.seconds,
    }
