"""A request that is answered with what its job came to, whole or in pieces."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response

from dialects.openai.errors import Failed
from tasks import kinds
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Submission
from tasks.jobs.view import JobView
from webapi import auth, calls, service
from webapi.api import reply
from webapi.plain.render import Pieces
from webapi.v1.jobs.accepting import wanted_once

PATIENCE_S = 600.0


def answered(
    asked: Submission[Any],
    given: Mapping[str, Any],
    headers: dict[str, str],
    whole: Callable[[JobView], Any],
    pieces: Pieces,
) -> Response:
    """Raises `Failed` where the job came to nothing, `NotInTime`, and what `calls.begin` raises."""
    models, caller = service.current().catalog, auth.caller()
    call = calls.begin(
        lambda session: kinds.plan(session, models, caller, asked), given, wanted_once(headers, asked.type, given)
    )
    if given.get("stream"):
        return calls.streamed(call, pieces)
    ended = calls.ended(call, PATIENCE_S)
    if ended.status != Status.SUCCEEDED:
        raise Failed(ended)
    return reply(whole(ended))
