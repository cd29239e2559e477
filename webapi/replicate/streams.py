"""A prediction's output as it comes: server-sent events, each with its id, so that a client may resume after any."""

import re
import time
from collections.abc import Iterator
from functools import partial

import structlog
from flask import Response, stream_with_context
from sqlalchemy.exc import SQLAlchemyError

from db.session import told
from dialects import sse
from dialects.openai.render.chat import waits
from tasks import errors
from tasks.doors import answering
from tasks.doors.answering import WHOLE
from tasks.doors.reading import LastStep, StreamStep
from tasks.jobs import jobs
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.queues.places import Wait
from tasks.streams import follow
from tasks.streams.events import Delta, Restarted
from tasks.streams.stream import START, Cursor, StreamedEntry
from webapi import auth, presence, requestlog, service
from webapi.api import Blueprint
from webapi.replicate import errors as problems
from webapi.replicate import requests
from webapi.replicate.named import PREDICTION
from webapi.service import Service

log = structlog.get_logger(__name__)

blueprint = Blueprint("prediction streams", __name__, description="What a prediction says, as it says it.")
problems.register(blueprint)

_EVENT = sse.described("Of `output` text as it stands, of `error` and `done` JSON.", {})
# What clients take for a line's end, though not all of it is one in the standard.
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


@blueprint.route("/v1/predictions/<prediction_id>/stream", methods=["GET"], parameters=[PREDICTION.in_path])
@blueprint.arguments(requests.LastEventIdHeader, location="headers")
@blueprint.response(200, _EVENT, content_type="text/event-stream")
@blueprint.answers(401, 404, 414, 422, 500, 503)
def stream(headers: dict[str, Cursor], prediction_id: str) -> Response:
    """Follow a prediction

    Whoever loses the connection goes on after the last `id` it got.
    """
    serving, caller = service.current(), auth.caller()
    with PREDICTION.sought(prediction_id) as id, serving.sessions.begin() as session:
        job = jobs.get(session, caller, id)
    requestlog.about_job(job.id)
    serving.readers.take(caller.tenant_id)
    told = stream_with_context(_told(_steps(serving, job, headers.get("after", START))))
    response = Response(told, mimetype="text/event-stream", headers=sse.HEADERS)
    serving.rest()
    response.call_on_close(partial(serving.readers.give_back, caller.tenant_id))
    return response


def _steps(serving: Service, job: JobView, had: Cursor) -> Iterator[StreamStep]:
    """From the beginning, nothing is told twice, whatever was lost; who resumes may have to be told that it was."""
    if had == START:
        steps = answering.steps(serving.reader, auth.caller(), job, 0)
        yield from (step for choice, step in steps if choice == WHOLE or not isinstance(step, LastStep))
        return
    while True:
        try:
            for step in serving.reader.events(auth.caller(), job.id, had) or iter([LastStep(str(had), job)]):
                if isinstance(step, StreamedEntry):
                    had = step.cursor
                    if isinstance(step.entry.event, Restarted):
                        raise answering.StreamLost(
                            "what was told was lost and comes out differently; ask for all of it"
                        )
                yield step
        except follow.Overflow:
            continue
        return


def _told(steps: Iterator[StreamStep]) -> Iterator[bytes]:
    yield sse.comment("ok")
    sent_at, last = time.monotonic(), str(START)
    try:
        for step in steps:
            if step is None and presence.has_left():
                return
            piece = _frame(step)
            if not piece and time.monotonic() - sent_at >= sse.HEARTBEAT_S:
                piece = sse.comment(waits(None))
            if piece:
                yield piece
                sent_at = time.monotonic()
            if step is not None and not isinstance(step, Wait):
                last = step.id
    except follow.Stopped:
        yield _failed(last, "this process is about to end; ask again")
    except answering.StreamLost as error:
        yield _failed(str(START), str(error))
    except (SQLAlchemyError, errors.ForebayError) as error:
        log.warning("stream_interrupted", error=told(error))
        yield _failed(last, "the stream broke off; ask again")


def _frame(step: StreamStep) -> bytes:
    match step:
        case None:
            return b""
        case Wait():
            return sse.comment(waits(step))
        case LastStep():
            return _end(step)
    event = step.entry.event
    return _event("output", step.id, _LINE_ENDS.sub("\n", event.text)) if isinstance(event, Delta) else b""


def _end(step: LastStep) -> bytes:
    job = step.job
    if job.status == Status.SUCCEEDED:
        return _event("done", step.id, "{}")
    if job.status == Status.FAILED:
        return _failed(step.id, job.error["message"] if job.error else "it failed")
    return _event("done", step.id, '{"reason": "canceled"}')


def _failed(id: str, message: str) -> bytes:
    return _event("error", id, sse.data({"detail": message}).decode()) + _event("done", id, '{"reason": "error"}')


def _event(name: str, id: str, data: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {name}\nid: {id}\n{lines}\n".encode()
