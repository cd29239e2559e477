"""`Prefer: respond-async`: the job instead of its answer, at once or after a while."""

from collections.abc import Callable
from typing import Any

from flask import Response

from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobObject, JobView
from webapi import calls
from webapi.api import Blueprint, reply
from webapi.calls import Call
from webapi.openai import errors

_HEADERS = {
    "Location": {"description": "The job.", "schema": {"type": "string"}},
    "Preference-Applied": {"schema": {"type": "string"}},
}


def documented(blueprint: Blueprint) -> Callable[[Any], Any]:
    """Says on the page that a route answers so."""
    said = "With `Prefer: respond-async` or `wait=N`: the job, which hasn't ended yet."
    decorate: Callable[[Any], Any] = blueprint.alt_response(202, JobObject, headers=_HEADERS, description=said)
    return decorate


def answered(call: Call, wait_s: float, answer: Callable[[JobView], Any]) -> Response:
    """What the job came to within so many seconds, else the job. Raises `Failed` where it came to nothing."""
    try:
        job = calls.awaited(call, wait_s) if wait_s else call.job
    finally:
        call.end(answered=True)
    if job.ended:
        if job.status != Status.SUCCEEDED:
            raise errors.Failed(job)
        response = reply(answer(job))
    else:
        response = reply(job.as_json(), 202)
        response.headers["Location"] = f"/v1/jobs/{ids.show(job.id)}"
    response.headers["Preference-Applied"] = f"wait={wait_s:g}" if wait_s else "respond-async"
    return response
