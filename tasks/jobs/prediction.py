"""Jobs as predictions: how Replicate's clients see them, and how webhooks are told of them that were asked for so."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from tasks import errors, times
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.times import Moment

SHAPE = "prediction"  # of a job's webhook, beside its `root`


class PredictionUrls(TypedDict):
    get: str
    cancel: str
    stream: NotRequired[Annotated[str, "Of a prediction whose output is text: server-sent events."]]


class PredictionMetrics(TypedDict):
    predict_time: NotRequired[Annotated[float, "Seconds from its start to its end."]]
    total_time: NotRequired[Annotated[float, "Seconds from being accepted to its end."]]
    input_token_count: NotRequired[int]
    output_token_count: NotRequired[int]


class Prediction(TypedDict):
    """A job, as Replicate shows it."""

    id: Annotated[str, "The job's, without its prefix."]
    model: str
    version: Annotated[str, "The model's name once more: it has no versions."]
    status: Literal["starting", "processing", "succeeded", "failed", "canceled"]
    input: Annotated[dict[str, Any] | None, "Once it was accepted, in our words; null in lists."]
    output: Annotated[Any, "Texts in a list, or vectors; null before the end, and of vectors in lists."]
    logs: str
    error: str | None
    metrics: PredictionMetrics
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    urls: PredictionUrls


State = Literal["starting", "processing", "succeeded", "failed", "canceled"]

_STATES: dict[str, State] = {
    Status.QUEUED: "starting",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELLED: "canceled",
    Status.EXPIRED: "canceled",
}
_TEXTS = ("generate", "chat", "rag")


def prediction(
    job: JobView, root: str, given: Mapping[str, Any] | None = None, whole: Mapping[str, Any] | None = None
) -> Prediction:
    """`root` is where the API is, `given` the input as it is shown, `whole` the result where the job has less of it."""
    return {
        "id": job.id.hex,
        "model": job.model,
        "version": job.model,
        "status": state(job),
        "input": None if given is None else dict(given),
        "output": _output(job, whole),
        "logs": "",
        "error": job.error["message"] if job.error else None,
        "metrics": _metrics(job),
        "created_at": times.show(job.created_at),
        "started_at": times.show(job.started_at),
        "completed_at": times.show(job.finished_at),
        "urls": _urls(job, root),
    }


def state(job: JobView) -> State:
    """What ran out of its time was cancelled, as Replicate has it."""
    if job.error and job.error["code"] == errors.DeadlineExceeded.code:
        return "canceled"
    return _STATES[job.status]


def _output(job: JobView, whole: Mapping[str, Any] | None) -> Any:
    if job.type == "embed":
        return whole["embeddings"] if whole else None
    if job.result is None or job.type not in _TEXTS:
        return job.result
    return [_text(choice) for choice in job.result.get("choices", [job.result])]


def _text(result: Mapping[str, Any]) -> str:
    text: str = result["message"]["content"] if "message" in result else result["text"]
    return text


def _metrics(job: JobView) -> PredictionMetrics:
    metrics: PredictionMetrics = {}
    if job.finished_at and job.started_at:
        metrics["predict_time"] = (job.finished_at - job.started_at).total_seconds()
        metrics["total_time"] = (job.finished_at - job.created_at).total_seconds()
        metrics["input_token_count"] = job.spent.prompt + job.spent.embedding
        metrics["output_token_count"] = job.spent.completion
    return metrics


def _urls(job: JobView, root: str) -> PredictionUrls:
    own = f"{root}/v1/predictions/{job.id.hex}"
    urls: PredictionUrls = {"get": own, "cancel": f"{own}/cancel"}
    if job.type in _TEXTS:
        urls["stream"] = f"{own}/stream"
    return urls
