"""Responses: jobs of the kind `response`, found by those who may look at them, and their items in OpenAI's shape.

An item is JSON with an id. Where its client gave it none, its id is made of its job's, so that everybody who asks finds
the same one, and finds the job by it.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from db import jobs as jobs_table
from db.jobs import Job
from tasks import errors, ids
from tasks.conversations import items as conversations
from tasks.conversations.items import PREFIXES
from tasks.jobs import jobs, lifecycle, view
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.streams.events import Passages, ToolCall
from tasks.streams.transcript import Transcript

TYPE = "response"

Item = Mapping[str, Any]

_INPUT, _OUTPUT = 0, 0x80000  # where the places of both begin, in twenty bits


@dataclass(frozen=True, slots=True)
class Found:
    """A response as it is stored: the job, what its client said of it, its own items, and those before them.

    `so_far` are the entries of one that ended without a result: all that there is of its answer. What was before is
    empty unless it was asked for: few want it, and it is long.
    """

    job: JobView
    said: Mapping[str, Any]
    items: Sequence[Item]
    before: Sequence[Item]
    so_far: Transcript


def get(
    session: Session, caller: Caller, job_id: uuid.UUID, *, with_before: bool = False, of_batches: bool = False
) -> Found:
    """The tenant's response; with `of_batches` also one that is a batch's line. Raises `NotFound`, also for one that
    isn't stored."""
    job, output = jobs.find(session, caller, job_id)
    if job.type != TYPE or job.store is False or (job.parent_id is not None and not of_batches):
        raise errors.NotFound("no such response")
    broken_off = job.status in lifecycle.TERMINAL and (output is None or output.result is None)
    so_far = jobs.stored_transcript(output) if broken_off else Transcript()
    asked = jobs_table.asked(session, job.id, ("said", "instructions", "items", *(("before",) if with_before else ())))
    if asked["items"] is None:  # a line that couldn't be asked
        raise errors.NotFound("no such response")
    said = {**asked["said"], "instructions": asked["instructions"]}
    return Found(view.with_output(job, output), said, asked["items"], asked.get("before") or (), so_far)


def inputs(job_id: uuid.UUID, items: Sequence[Item]) -> list[dict[str, Any]]:
    """What a response was asked, each item with its id and how it stands."""
    return [
        {"id": item_id(job_id, item["type"], _INPUT + place), **item, "status": item.get("status", "completed")}
        for place, item in enumerate(items)
    ]


def outputs(job_id: uuid.UUID, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a response came to: the search before it, if there was one, what was said, if anything was, then the
    functions that are to be called."""
    said = result["message"]
    calls = said.get("tool_calls", ())
    status = "incomplete" if result["finish_reason"] == "length" and not calls else "completed"  # calls are whole
    made = [file_search(job_id, 0, result["question"])] if "passages" in result else []
    if said["content"] or not calls:
        made.append(message(job_id, len(made), said["content"], status, result.get("annotations", ())))
    return made + [function_call(job_id, len(made) + n, call) for n, call in enumerate(calls)]


def broken_off(job_id: uuid.UUID, so_far: Transcript) -> list[dict[str, Any]]:
    """What a response had come to that ended without a result: as `outputs`, its text as far as it was said."""
    searched = so_far.question is not None and any(isinstance(entry.event, Passages) for entry in so_far.entries)
    made = [file_search(job_id, 0, so_far.question or "")] if searched else []
    calls = [event for event, _ in so_far.spoken if isinstance(event, ToolCall)]
    if so_far.text:
        made.append(message(job_id, len(made), so_far.text, "completed" if calls else "incomplete"))
    for call in calls:
        told = {"id": call.id, "name": call.name, "arguments": call.arguments}
        made.append(function_call(job_id, len(made), told))
    return made


def settle(session: Session, job: Job, result: Mapping[str, Any] | None) -> None:
    """Puts what was asked and what came of it into the conversation of a response that has just ended, if it has one
    and came to something."""
    if job.conversation_id is not None and result is not None:
        asked = jobs_table.asked(session, job.id, ("items",))["items"]
        said = [*inputs(job.id, asked), *outputs(job.id, result)]
        conversations.settle(session, job.tenant_id, job.conversation_id, said)


def file_search(job_id: uuid.UUID, place: int, question: str, status: str = "completed") -> dict[str, Any]:
    """A search in vector stores, as the output item in that place, without what was found."""
    return {
        "id": item_id(job_id, "file_search_call", _OUTPUT + place),
        "type": "file_search_call",
        "status": status,
        "queries": [question],
        "results": None,
    }


def message(job_id: uuid.UUID, place: int, text: str, status: str, annotations: Sequence[Item] = ()) -> dict[str, Any]:
    """What was said, as the output item in that place, and what it rests on."""
    part = {"type": "output_text", "text": text, "annotations": [dict(one) for one in annotations], "logprobs": []}
    return {
        "id": item_id(job_id, "message", _OUTPUT + place),
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part],
    }


def function_call(job_id: uuid.UUID, place: int, call: Mapping[str, Any]) -> dict[str, Any]:
    """A function that is to be called, as the output item in that place."""
    return {
        "id": item_id(job_id, "function_call", _OUTPUT + place),
        "type": "function_call",
        "status": "completed",
        "call_id": call["id"],
        "name": call["name"],
        "arguments": call["arguments"],
    }


def item_id(job_id: uuid.UUID, type: str, place: int) -> str:
    return f"{PREFIXES.get(type, 'item_')}{job_id.hex}{place:05x}"


def place_of(shown: str) -> tuple[uuid.UUID, int, bool] | None:
    """The job and the place that an item's id is made of, and whether it is an output; None for another id."""
    _, _, digits = shown.rpartition("_")
    job_id = ids.parse(digits[:32], "")
    if job_id is None or len(digits) != 37:
        return None
    try:
        place = int(digits[32:], 16)
    except ValueError:
        return None
    return job_id, place % _OUTPUT, place >= _OUTPUT
