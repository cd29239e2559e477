"""A conversation that was summed up, as OpenAI's clients read it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from dialects.openai.render.items import ConversationItem
from dialects.openai.render.response_shapes import ResponseUsage
from dialects.openai.render.responses import usage
from tasks import ids
from tasks.jobs import responses
from tasks.jobs.view import JobView
from tasks.kinds import compaction


class CompactedResponse(TypedDict):
    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[ConversationItem]
    usage: ResponseUsage


_NOTHING: ResponseUsage = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}


def compacted(job: JobView, said: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """As `CompactedResponse` has it: what users said, and the summary of all that was."""
    assert job.result is not None
    of_users = [item for item in said if item["type"] == "message" and item["role"] == "user"]
    summary = {
        "id": responses.item_id(job.id, compaction.TYPE, 0),
        "type": compaction.TYPE,
        "encrypted_content": compaction.sealed(job.result["message"]["content"]),
    }
    return {
        "id": ids.show(job.id, ids.RESPONSE),
        "object": "response.compaction",
        "created_at": int(job.created_at.timestamp()),
        "output": [*responses.inputs(job.id, of_users), summary],
        "usage": usage(job),
    }


def nothing() -> dict[str, Any]:
    """Of a conversation in which nothing was said."""
    return {
        "id": ids.show(ids.new(), ids.RESPONSE),
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [],
        "usage": _NOTHING,
    }
