"""A job's events as server-sent events (WHATWG HTML, section 9.2)."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import structlog
from flask import Response, stream_with_context
from sqlalchemy.exc import SQLAlchemyError

from db.session import told
from dialects import sse
from dialects.named import JOB
from tasks import tickets
from tasks.doors.reading import LastStep, StreamStep
from tasks.errors import ForebayError
from tasks.jobs import jobs
from tasks.queues.places import Wait
from tasks.streams import follow
from tasks.streams.events import (
    Delta,
    Ended,
    Event,
    Passages,
    Progress,
    Question,
    Restarted,
    Resumed,
    Started,
    ToolCall,
    ToolResult,
)
from tasks.streams.stream import START, Cursor, StreamedEntry
from webapi import auth, presence, service
from webapi.api import Blueprint, reply
from webapi.v1.jobs import answers, requests

log = structlog.get_logger(__name__)

blueprint = Blueprint("streams", __name__, description="What happens to a job, as it happens.")


@blueprint.route("/v1/jobs/<job_id>/events", methods=["GET"], parameters=[JOB.in_path])
@blueprint.arguments(requests.EventsQuery, location="query")
@blueprint.arguments(requests.LastEventIdHeader, location="headers")
@blueprint.response(200, answers.EVENT, content_type="text/event-stream", description="Events, to the last.")
@blueprint.alt_response(204, description="The job has ended and every event was read: there is nothing to come for.")
@blueprint.answers(401, 404, 414, 422, 500, 503)
@blueprint.doc(security=[{"key": []}, {"ticket": []}])
def events(query: dict[str, Any], headers: dict[str, Cursor], job_id: str) -> Response:
    """Follow a job

    Before, during and after its run: `queued` (unnumbered), `started`, `delta`, `progress`, `resumed`, `restarted`,
    and last one of `succeeded`, `failed`, `cancelled`, `expired` with the job. Whoever loses the connection goes on
    after the last `id` it got, and is answered 204 once it has the last: an EventSource then stops by itself. After a
    `restarted` what came before it counts no more: the answer is told anew.
    """
    serving = service.current()
    had = {"after": START, **headers, **query}["after"]
    caller = auth.caller()
    serving.readers.take(caller.tenant_id)
    try:
        steps = serving.reader.events(caller, JOB.parse(job_id), had)
    except BaseException:
        serving.readers.give_back(caller.tenant_id)
        raise
    if steps is None:
        response = Response(status=204, headers=sse.HEADERS)
    else:
        # Within the request, so that what is asked of PostgreSQL on the way takes its tenant's turns.
        response = Response(
            stream_with_context(render(steps, presence.has_left)), mimetype="text/event-stream", headers=sse.HEADERS
        )
    serving.rest()
    response.call_on_close(partial(serving.readers.give_back, caller.tenant_id))
    return response


@blueprint.route("/v1/jobs/<job_id>/ticket", methods=["POST"], parameters=[JOB.in_path])
@blueprint.response(201, answers.Ticket, description="Good for five minutes. It says who one is: keep it to oneself.")
@blueprint.answers(401, 404, 500, 503)
def make_ticket(job_id: str) -> Response:
    """Make a ticket to a job's events

    A browser's EventSource can't send a key: `GET /v1/jobs/{job_id}/events?ticket=…` needs none. The ticket opens
    nothing else, and no longer than the key that made it; a stream that is open goes on.
    """
    serving, caller = service.current(), auth.caller()
    with serving.sessions.begin() as session:
        job = jobs.get(session, caller, JOB.parse(job_id))
    return reply(answers.ticket(tickets.make(serving.settings.key_pepper, caller, job.id)), 201)


def render(steps: Iterator[StreamStep], has_left: Callable[[], bool]) -> Iterator[bytes]:
    """Each step as a frame, with a comment wherever silence would last too long for a proxy; no more once the client
    has left."""
    yield b": ok\n\n"
    sent_at = time.monotonic()
    try:
        for step in steps:
            if step is not None:
                yield _frame(step)
            elif has_left():
                return
            elif time.monotonic() - sent_at < sse.HEARTBEAT_S:
                continue
            else:
                yield b": hb\n\n"
            sent_at = time.monotonic()
    except follow.Overflow:
        yield b": resume\nretry: 0\n\n"
    except follow.Stopped:
        yield b": resume\nretry: 500\n\n"
    except (SQLAlchemyError, ForebayError) as error:
        log.warning("stream_interrupted", error=told(error))
        yield b": resume\nretry: 1000\n\n"


def _frame(step: StreamedEntry | LastStep | Wait) -> bytes:
    if isinstance(step, Wait):
        wait = {"position": step.position, "estimated_start_s": step.estimated_start_s}
        return b"event: queued\ndata: " + sse.data(wait) + b"\n\n"
    if isinstance(step, LastStep):
        return f"id: {step.id}\nevent: {step.job.status}\ndata: ".encode() + sse.data(step.job.as_json()) + b"\n\n"
    event = step.entry.event
    return f"id: {step.id}\nevent: {event.type}\ndata: ".encode() + sse.data(_shown(event)) + b"\n\n"


def _shown(event: Event) -> dict[str, Any]:
    """What a client is told of an event; an `Ended` is told with its job instead."""
    match event:
        case Delta():
            return {"text": event.text}
        case Progress():
            return {"done": event.done, "total": event.total}
        case Started():
            return {"attempt": event.attempt, "worker": event.worker}
        case Resumed() | Restarted():
            return {"attempt": event.attempt}
        case ToolCall():
            return {"id": event.id, "name": event.name, "arguments": event.arguments}
        case ToolResult():
            return {"id": event.id, "name": event.name, "content": event.content, "ok": event.ok}
        case Question():
            return {"question": event.question}
        case Passages():
            return {"passages": event.passages}
        case Ended():
            raise AssertionError("an end is told with its job")
