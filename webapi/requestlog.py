"""A request's id, by which all that was logged about it is found, and its one line in the log."""

import re
import time
import uuid
from functools import partial
from typing import Any

import structlog
from flask import Flask, Response, g, request

from tasks import ids

log = structlog.get_logger(__name__)

HEADER = "X-Request-Id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def register(app: Flask) -> None:
    """Gives every request its id and its line; to be called before whatever else looks at requests."""
    app.before_request(_begin)
    app.after_request(_mark)


def request_id() -> str:
    """The id of the request that is handled now: the client's, where it sent one that can be, else ours."""
    id = g.request_id
    assert isinstance(id, str)
    return id


def about_job(job_id: uuid.UUID) -> None:
    """Says which job this request made, for its line."""
    g.job_id = job_id


def _begin() -> None:
    sent = request.headers.get(HEADER, "")
    g.request_id = sent if _WELL_FORMED.fullmatch(sent) else ids.show(ids.new(), ids.REQUEST)
    g.begun_at = time.monotonic()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _mark(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    tell = partial(_tell, g.begun_at, _about(response))
    if response.is_streamed and not response.direct_passthrough:
        response.call_on_close(tell)
    else:
        tell()
    return response


def _about(response: Response) -> dict[str, Any]:
    """What the line says: no body, no query string; the key that asked and the job it was about where there are any."""
    route = request.url_rule.rule if request.url_rule else None
    about = {"method": request.method, "route": route, "status": response.status_code}
    if "caller" in g:
        about["key_id"] = g.caller.key_id
    if job_id := g.get("job_id") or ids.parse((request.view_args or {}).get("job_id", "")):
        about["job_id"] = ids.show(job_id)
    return about


def _tell(begun_at: float, about: dict[str, Any]) -> None:
    """Once it is answered; of a stream, after its last byte."""
    log.info("request", **about, ms=round(1000 * (time.monotonic() - begun_at), 1))
    structlog.contextvars.clear_contextvars()
