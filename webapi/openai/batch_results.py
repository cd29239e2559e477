"""`/v1/batches/{batch_id}/results` and `/retry`: beyond OpenAI's."""

import time
import uuid
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import structlog
from flask import Response, request, stream_with_context
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.session import told
from dialects import sse
from dialects.fields import IdempotencyHeader
from dialects.named import BATCH
from dialects.openai.render import batches as rendered
from dialects.openai.render import fingerprint
from dialects.openai.render import lines as line_rendered
from dialects.openai.render.batches import OpenAIBatch
from dialects.openai.requests import batch_results as requests
from tasks.batches import batches, results
from tasks.batches.batches import BatchView
from tasks.batches.results import Result
from tasks.doors import retrying
from tasks.errors import ForebayError
from tasks.jobs.requests import Plan
from tasks.keys import Caller
from webapi import auth, presence, requestlog, service
from webapi.api import Blueprint, reply
from webapi.openai import errors
from webapi.service import Service
from webapi.v1.jobs.accepting import wanted_once

log = structlog.get_logger(__name__)

blueprint = Blueprint("batch results", __name__, description="Batches, beyond what OpenAI has.")
errors.register(blueprint)

_LOOK_S = 1.0
_LINES = "application/jsonl"
_LINE = {"type": "string", "description": "A line a result: as in the batch's files, and its `number`."}
_EVENT = sse.described("Of a `result`, its line; at the end the batch, under its status.")


@blueprint.route("/v1/batches/<batch_id>/results", methods=["GET"], parameters=[BATCH.in_path])
@blueprint.arguments(requests.ResultsQuery, location="query")
@blueprint.arguments(requests.LastResultHeader, location="headers")
@blueprint.response(200, _LINE, content_type=_LINES)
@blueprint.alt_response(200, schema=_EVENT, content_type="text/event-stream", description="With `stream`.")
@blueprint.alt_response(204, description="Of a stream: the batch has ended, and everything was read.")
@blueprint.answers(400, 401, 404, 414, 500, 503)
def browse(query: dict[str, Any], headers: dict[str, Any], batch_id: str) -> Response:
    """Read a batch's results as they come

    Each once, numbered from 1 in the order in which they came, while the batch runs and as long as it is kept: whoever
    stopped at one goes on `after` it. As lines, those that are there; as events, all of them, to the end of the batch.
    """
    with BATCH.sought(batch_id) as id:
        reading = _Reading(service.current(), auth.caller(), id, {"after": 0, **headers, **query}["after"])
        batch = reading.look()
    streams = query["stream"] or request.accept_mimetypes.best == "text/event-stream"
    if not streams:
        return _read(reading, reading.lines(batch, query["limit"]), _LINES)
    if batch.ended_at is not None and reading.after > batch.counts.total:
        return Response(status=204, headers=sse.HEADERS)
    return _read(reading, reading.events(batch), "text/event-stream")


@blueprint.route("/v1/batches/<batch_id>/retry", methods=["POST"], parameters=[BATCH.in_path])
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, OpenAIBatch)
@blueprint.answers(400, 401, 404, 409, 414, 500, 503)
def retry(once: dict[str, str], batch_id: str) -> Response:
    """Ask again what a batch has no answer to

    Of one that has ended. The new batch takes over the answers that there are: its files and counts have all of them,
    and only the other requests are run.
    """
    serving, caller = service.current(), auth.caller()
    with BATCH.sought(batch_id) as id:
        job, _ = serving.desk.accept(caller, partial(_again, batch_id=id), wanted_once(once, "retry", batch_id))
    requestlog.about_job(job.id)
    with serving.sessions.begin() as session:
        return reply(rendered.batch(batches.get(session, caller, job.id, serving.counting)))


def _again(session: Session, batch_id: uuid.UUID) -> Plan:
    """Raises `NotFound`, also for jobs that are no batches: nothing of those is run."""
    serving, caller = service.current(), auth.caller()
    batches.get(session, caller, batch_id, serving.counting)
    return retrying.plan(session, serving.catalog, caller, batch_id)


def _read(reading: "_Reading", pieces: Iterator[bytes], mimetype: str) -> Response:
    """The answer. What it is read for holds a thread, as streams do."""
    serving, tenant_id = reading.serving, reading.caller.tenant_id
    serving.readers.take(tenant_id)
    response = Response(stream_with_context(pieces), mimetype=mimetype, headers=sse.HEADERS)
    serving.rest()
    response.call_on_close(partial(serving.readers.give_back, tenant_id))
    return response


class _Reading:
    """A client's reading of one batch, up to the result with the number `after`."""

    def __init__(self, serving: Service, caller: Caller, batch_id: uuid.UUID, after: int) -> None:
        self.serving, self.caller, self.after = serving, caller, after
        self._batch_id = batch_id
        self._made_by: dict[str, str | None] = {}

    def look(self) -> BatchView:
        """Raises `NotFound`."""
        with self.serving.sessions.begin() as session:
            return results.look(session, self.caller, self._batch_id, self.serving.counting)

    def lines(self, batch: BatchView, limit: int) -> Iterator[bytes]:
        """Those that there were when it was looked at, at most so many."""
        left = limit
        for result in islice(self._seen(), limit):
            yield self._line(batch, result)
            left -= 1
        if left and batch.ended_at is not None:
            rest = results.unrun(self.serving.stores, self.caller, batch, self.after)
            for number, line in islice(rest, left):
                yield _numbered(number, line)

    def events(self, batch: BatchView) -> Iterator[bytes]:
        """All of them, as they come."""
        yield sse.comment("ok")
        sent_at = time.monotonic()
        try:
            while True:
                for result in self._seen():
                    yield _event(str(result.number), "result", self._line(batch, result))
                    sent_at = time.monotonic()
                if batch.ended_at is not None:
                    break
                self.serving.reader.wait_for_end(self._batch_id, _LOOK_S, presence.has_left)
                if presence.has_left():
                    return
                if time.monotonic() - sent_at >= sse.HEARTBEAT_S:
                    yield sse.comment("still here")
                    sent_at = time.monotonic()
                batch = self.look()
            yield from self._end(batch)
        except (SQLAlchemyError, ForebayError) as error:
            log.warning("stream_interrupted", error=told(error))
            yield b": resume\nretry: 1000\n\n"

    def _end(self, batch: BatchView) -> Iterator[bytes]:
        for number, line in results.unrun(self.serving.stores, self.caller, batch, self.after):
            yield _event(str(number), "result", _numbered(number, line))
        yield _event(str(batch.counts.total + 1), batch.status, sse.data(rendered.batch(batch)))

    def _seen(self) -> Iterator[Result]:
        """What has a number, after what was read."""
        more = True
        while more:
            with self.serving.sessions.begin() as session:
                found = results.page(session, self._batch_id, self.after, results.AT_ONCE)
            yield from found
            more = bool(found)

    def _line(self, batch: BatchView, result: Result) -> bytes:
        self.after = result.number
        model = result.line.job.model
        if model not in self._made_by:
            self._made_by[model] = fingerprint.of(self.serving.catalog.get(model))
        line = line_rendered.answered(result.line, self._made_by[model])
        return _numbered(result.number, line_rendered.ended(batch.endpoint, line))


def _numbered(number: int, line: bytes) -> bytes:
    """The line, which is an object's, with its number first."""
    return b'{"number":%d,' % number + line[1:]


def _event(id: str, name: str, data: bytes) -> bytes:
    return f"id: {id}\nevent: {name}\ndata: ".encode() + data.rstrip(b"\n") + b"\n\n"
