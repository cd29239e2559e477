"""Batches of messages in Anthropic's words."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

import orjson

from dialects.anthropic import errors
from dialects.anthropic.render import messages
from dialects.named import MESSAGE_BATCH
from tasks import times
from tasks.batches import batches
from tasks.batches.answers import ABOUT, REFUSED, LineAnswer
from tasks.batches.batches import BatchView, Tally
from tasks.jobs.lifecycle import Status
from tasks.times import Moment

_OPTIONS = orjson.OPT_APPEND_NEWLINE


class MessageBatchCounts(TypedDict):
    processing: Annotated[int, "Those that haven't ended."]
    succeeded: Annotated[int, "Counted while others are processed, as are the rest."]
    errored: int
    canceled: int
    expired: int


class MessageBatch(TypedDict):
    id: str
    type: Literal["message_batch"]
    processing_status: Literal["in_progress", "canceling", "ended"]
    request_counts: MessageBatchCounts
    created_at: Moment
    ended_at: Moment | None
    expires_at: Moment
    archived_at: Annotated[Moment | None, "Always null."]
    cancel_initiated_at: Moment | None
    results_url: Annotated[str | None, "Null until it has ended."]


class MessageBatchList(TypedDict):
    data: list[MessageBatch]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedMessageBatch(TypedDict):
    id: str
    type: Literal["message_batch_deleted"]


def batch(found: BatchView, tally: Tally, root: str) -> MessageBatch:
    """`root` is where our routes are, as in `http://127.0.0.1:8000/`."""
    shown = MESSAGE_BATCH.show(found.id)
    return {
        "id": shown,
        "type": "message_batch",
        "processing_status": _status(found),
        "request_counts": _counts(found, tally),
        "created_at": times.show(found.created_at),
        "ended_at": times.show(found.ended_at),
        "expires_at": times.show(found.expires_at),
        "archived_at": None,
        "cancel_initiated_at": times.show(found.ending_at) if found.ending == "cancelled" else None,
        "results_url": None if found.ended_at is None else f"{root}v1/messages/batches/{shown}/results",
    }


def listed(data: Sequence[MessageBatch], more: bool) -> MessageBatchList:
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": list(data), "first_id": first, "last_id": last, "has_more": more}


def _status(found: BatchView) -> Literal["in_progress", "canceling", "ended"]:
    if found.ended_at is not None:
        return "ended"
    return "canceling" if found.ending == "cancelled" else "in_progress"


def _counts(found: BatchView, tally: Tally) -> MessageBatchCounts:
    """Those that ended with their batch, and those that were never begun then, ended for its reason."""
    left = found.counts.total - tally.succeeded - tally.failed - tally.ended_with_it
    with_it = tally.ended_with_it + (left if found.ended_at is not None else 0)
    return {
        "processing": 0 if found.ended_at is not None else max(left, 0),
        "succeeded": tally.succeeded,
        "errored": tally.failed + (with_it if found.ending in ("failed", "completed", None) else 0),
        "canceled": with_it if found.ending == "cancelled" else 0,
        "expired": with_it if found.ending == "expired" else 0,
    }


def line(answer: LineAnswer) -> bytes:
    """What a request came to."""
    return _line(answer.custom_id, _result(answer))


def unrun(written: bytes) -> bytes:
    """What a request came to that was never made a job, of its line in the batch's error file."""
    read = orjson.loads(written)
    error = read["error"] or {"code": "", "message": "it wasn't run"}
    return _line(read["custom_id"], _ended_with_it(error) or _errored(errors.of("api_error", error["message"])))


def _result(answer: LineAnswer) -> Mapping[str, Any]:
    job = answer.job
    if job.status == Status.SUCCEEDED:
        return {"type": "succeeded", "message": messages.message(job)}
    about = answer.params.get(ABOUT, {})
    if job.error and REFUSED in about:
        return _errored(errors.told(422, job.error["code"], job.error["message"], about[REFUSED])[1])
    return _ended_with_it(job.error or {}) or _errored(errors.failed(job))


def _ended_with_it(error: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Of a request that was ended with its batch."""
    types = {batches.CANCELLED: "canceled", batches.EXPIRED: "expired"}
    type_ = types.get(error.get("code", ""))
    return None if type_ is None else {"type": type_}


def _errored(error: Any) -> Mapping[str, Any]:
    return {"type": "errored", "error": error}


def _line(custom_id: str, result: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"custom_id": custom_id, "result": result}, option=_OPTIONS)
