"""What webhooks are told: of jobs as Standard Webhooks advises, of batches and responses as OpenAI's clients read it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, and the `webhooks` of
OpenAI's OpenAPI document.
"""

import datetime as dt
import json
import uuid
from typing import Any

from tasks import ids, times

JOB_EVENTS = ("job.cancelled", "job.expired", "job.failed", "job.succeeded")
BATCH_EVENTS = ("batch.cancelled", "batch.completed", "batch.expired", "batch.failed")
RESPONSE_EVENTS = ("response.cancelled", "response.completed", "response.failed", "response.incomplete")
EVENTS = (*JOB_EVENTS, *BATCH_EVENTS, *RESPONSE_EVENTS)

MAX_BYTES = 20_000  # of what a message says. Standard Webhooks: "smaller than 20kb"


def message(type: str, happened_at: dt.datetime | None, data: dict[str, Any]) -> dict[str, Any]:
    """A whole message in the form of Standard Webhooks."""
    return {"type": type, "timestamp": times.show(happened_at), "data": data}


def event(type: str, message_id: uuid.UUID, happened_at: dt.datetime | None, object_id: str) -> dict[str, Any]:
    """A whole message in OpenAI's form: that this happened to a thing of this id, which is to be asked for."""
    return {
        "id": ids.show(message_id, ids.EVENT),
        "object": "event",
        "created_at": int(happened_at.timestamp()) if happened_at else None,
        "type": type,
        "data": {"id": object_id},
    }


def compact(value: dict[str, Any]) -> str:
    """JSON in ASCII, as a message has it: as many bytes as characters."""
    return json.dumps(value, separators=(",", ":"))
