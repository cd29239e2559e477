"""Jobs as predictions."""

from collections.abc import Mapping
from typing import Any, Literal

from flask import request

from tasks import errors, times
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from webapi.replicate.answers import Prediction, PredictionMetrics, PredictionUrls
from webapi.replicate.named import PREDICTION

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


def prediction(job: JobView, given: Mapping[str, Any] | None, whole: Mapping[str, Any] | None = None) -> Prediction:
    """`given` is the input as it is shown, `whole` the result where that is more than the job has of it."""
    return {
        "id": PREDICTION.show(job.id),
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
        "urls": _urls(job),
    }


def state(job: JobView) -> State:
    """What ran out of its time was cancelled, as Replicate has it."""
    if job.error and job.error["code"] == errors.DeadlineExceeded.code:
        return "canceled"
    return _STATES[job.status]


def address(path: str) -> str:
    """Whole, since its clients ask for it as it stands."""
    return request.url_root.rstrip("/") + path


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


def _urls(job: JobView) -> PredictionUrls:
    own = address(f"/v1/predictions/{PREDICTION.show(job.id)}")
    urls: PredictionUrls = {"get": own, "cancel": f"{own}/cancel"}
    if job.type in _TEXTS:
        urls["stream"] = f"{own}/stream"
    return urls
