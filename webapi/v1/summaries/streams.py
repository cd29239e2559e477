"""A summary's results as server-sent events (WHATWG HTML, section 9.2), as they come."""

import time
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import structlog
from flask import Response, stream_with_context
from sqlalchemy.exc import SQLAlchemyError

from db import session as db_session
from dialects import sse
from dialects.named import SUMMARY
from tasks.errors import ForebayError
from tasks.keys import Caller
from tasks.summaries import results
from tasks.summaries.results import Progress, Result
from webapi import auth, presence, service
from webapi.api import Blueprint
from webapi.service import Service
from webapi.v1.summaries import answers, requests

log = structlog.get_logger(__name__)

blueprint = Blueprint("summary-streams", __name__, description="What comes of a summary, as it comes.")

_LOOK_S = 1.0
_AT_ONCE = 50


@blueprint.route("/v1/summaries/<summary_id>/events", methods=["GET"], parameters=[SUMMARY.in_path])
@blueprint.arguments(requests.EventsQuery, location="query")
@blueprint.arguments(requests.LastEventIdHeader, location="headers")
@blueprint.response(
    200,
    sse.described("`result`: one document's; last the summary, under its status."),
    content_type="text/event-stream",
    description="Results, to the last.",
)
@blueprint.alt_response(204, description="It has ended, and everything was read.")
@blueprint.answers(401, 404, 414, 422, 500, 503)
def events(query: dict[str, Any], headers: dict[str, Any], summary_id: str) -> Response:
    """Follow a summary

    A `result` for each document as it comes, numbered as in the list, and last the summary under its status. Whoever
    loses the connection goes on after the last `id` it got.
    """
    serving, caller = service.current(), auth.caller()
    after = {"after": 0, **headers, **query}["after"]
    serving.readers.take(caller.tenant_id)
    try:
        with SUMMARY.sought(summary_id) as sought:
            told, ended = _look(serving, caller, sought, after)
    except BaseException:
        serving.readers.give_back(caller.tenant_id)
        raise
    if ended and after > ended.documents:
        response = Response(status=204, headers=sse.HEADERS)
    else:
        stream = _render(serving, caller, sought, after, (told, ended))
        response = Response(stream_with_context(stream), mimetype="text/event-stream", headers=sse.HEADERS)
    serving.rest()
    response.call_on_close(partial(serving.readers.give_back, caller.tenant_id))
    return response


Look = tuple[list[Result], Progress | None]


def _look(serving: Service, caller: Caller, summary_id: uuid.UUID, after: int) -> Look:
    """The next results; where there are no more to come, the summary as it ended."""
    with serving.sessions.begin() as session:
        ended = results.look(session, caller, summary_id)  # before its results, so that none comes after
        told, more = results.page(session, caller, summary_id, after=after, limit=_AT_ONCE)
    return told, ended if ended.job.ended and not more else None


def _render(serving: Service, caller: Caller, summary_id: uuid.UUID, after: int, first: Look) -> Iterator[bytes]:
    yield b": ok\n\n"
    sent_at, (told, ended) = time.monotonic(), first
    try:
        while True:
            for result in told:
                yield f"id: {result.number}\nevent: result\ndata: ".encode() + _data(answers.result(result))
                after, sent_at = result.number, time.monotonic()
            if ended:
                last = f"id: {ended.documents + 1}\nevent: {ended.job.status}\ndata: "
                yield last.encode() + _data(answers.summary(ended))
                return
            if not told:
                serving.reader.wait_for_end(summary_id, _LOOK_S, presence.has_left)
                if presence.has_left():
                    return
            if time.monotonic() - sent_at >= sse.HEARTBEAT_S:
                yield b": hb\n\n"
                sent_at = time.monotonic()
            told, ended = _look(serving, caller, summary_id, after)
    except (SQLAlchemyError, ForebayError) as error:
        log.warning("stream_interrupted", error=db_session.told(error))
        yield b": resume\nretry: 1000\n\n"


def _data(value: Any) -> bytes:
    return sse.data(value) + b"\n\n"
