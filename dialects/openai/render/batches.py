"""Batches in OpenAI's words."""

import datetime as dt
from typing import Annotated, Any, Literal, TypedDict

from dialects.named import BATCH, FILE
from tasks.batches.batches import BatchStatus, BatchView


class OpenAIBatchError(TypedDict):
    code: str
    line: Annotated[int | None, "Of the input file, from 1."]
    message: str
    param: Annotated[str | None, "The field of the line, as in `body.model`."]


class OpenAIBatchErrors(TypedDict):
    object: Literal["list"]
    data: list[OpenAIBatchError]


class BatchRequestCounts(TypedDict):
    total: Annotated[int, "0 until all lines are found to be right."]
    completed: int
    failed: Annotated[int, "Those in the error file."]


class BatchInputTokens(TypedDict):
    cached_tokens: int


class BatchOutputTokens(TypedDict):
    reasoning_tokens: int


class BatchUsage(TypedDict):
    input_tokens: int
    input_tokens_details: BatchInputTokens
    output_tokens: int
    output_tokens_details: BatchOutputTokens
    total_tokens: int


class OpenAIBatch(TypedDict):
    """A file of requests, and what has come of it."""

    id: str
    object: Literal["batch"]
    endpoint: str
    model: Annotated[str | None, "Of its lines, where they all have one."]
    errors: Annotated[OpenAIBatchErrors | None, "What is wrong with the file."]
    input_file_id: str
    completion_window: str
    status: BatchStatus
    output_file_id: Annotated[str | None, "Null where no request was answered, and before its end."]
    error_file_id: Annotated[str | None, "Null where all were."]
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: BatchRequestCounts
    usage: BatchUsage
    metadata: dict[str, str]


class OpenAIBatchList(TypedDict):
    object: Literal["list"]
    data: list[OpenAIBatch]
    first_id: str | None
    last_id: str | None
    has_more: bool


def batch(found: BatchView) -> OpenAIBatch:
    def ended(how: str) -> int | None:
        return _seconds(found.ended_at) if found.ending == how else None

    return {
        "id": BATCH.show(found.id),
        "object": "batch",
        "endpoint": found.endpoint,
        "model": found.model,
        "errors": _errors(found),
        "input_file_id": FILE.show(found.input_file_id),
        "completion_window": found.completion_window,
        "status": found.status,
        "output_file_id": FILE.show(found.output_file_id) if found.output_file_id else None,
        "error_file_id": FILE.show(found.error_file_id) if found.error_file_id else None,
        "created_at": int(found.created_at.timestamp()),
        "in_progress_at": _seconds(found.in_progress_at),
        "expires_at": int(found.expires_at.timestamp()),
        "finalizing_at": _seconds(found.finalizing_at),
        "completed_at": ended("completed"),
        "failed_at": ended("failed"),
        "expired_at": ended("expired"),
        "cancelling_at": _seconds(found.ending_at) if found.ending == "cancelled" else None,
        "cancelled_at": ended("cancelled"),
        "request_counts": {
            "total": found.counts.total,
            "completed": found.counts.completed,
            "failed": found.counts.failed,
        },
        "usage": _usage(found),
        "metadata": dict(found.metadata),
    }


def listed(found: list[BatchView], more: bool) -> OpenAIBatchList:
    data = [batch(one) for one in found]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


def _errors(found: BatchView) -> OpenAIBatchErrors | None:
    if found.errors is None:
        return None
    data: list[Any] = [dict(error) for error in found.errors]
    return {"object": "list", "data": data}


def _usage(found: BatchView) -> BatchUsage:
    into, out = found.spent.prompt + found.spent.embedding, found.spent.completion
    return {
        "input_tokens": into,
        "input_tokens_details": {"cached_tokens": found.spent.cached},
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": into + out,
    }


def _seconds(moment: dt.datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
