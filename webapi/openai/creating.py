"""What every create call does: its job is accepted, and answered with what came of it, with its events, or as it is."""

from collections.abc import Callable
from typing import Any

from flask import Response

from dialects import sse
from dialects.errors import Error
from dialects.openai.errors import Failed
from dialects.openai.render import fingerprint
from dialects.wishes import Wishes
from tasks import ids, kinds
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Submission
from tasks.jobs.view import JobObject, JobView
from webapi import auth, calls, service, shapes
from webapi.api import Blueprint, reply
from webapi.calls import Call
from webapi.v1.jobs.accepting import wanted_once

_HEADERS = {
    "Location": {"description": "The job.", "schema": {"type": "string"}},
    "Preference-Applied": {"schema": {"type": "string"}},
}


def documented(blueprint: Blueprint) -> Callable[[Any], Any]:
    """Says on the page that a route may answer with the job itself."""
    said = "With `Prefer: respond-async` or `wait=N`: the job, which hasn't ended yet."
    decorate: Callable[[Any], Any] = blueprint.alt_response(202, JobObject, headers=_HEADERS, description=said)
    return decorate


def streamed(blueprint: Blueprint, chunk: Any) -> Callable[[Any], Any]:
    """Says on the page that a route may answer with events, each a `chunk`. Below `response`, whose word it has."""
    said = "The answer; with `stream`, its chunks as server-sent events, the last of which is `[DONE]`."
    blueprint.shapes.append(chunk)
    told = {"anyOf": [shapes.reference(chunk), shapes.reference(Error)]}
    data = {"anyOf": [{**sse.JSON, "contentSchema": told}, {"enum": ["[DONE]"]}]}
    event = sse.described("A chunk, or an error; at the end `[DONE]`.", data)
    decorate: Callable[[Any], Any] = blueprint.alt_response(
        200, event, content_type="text/event-stream", description=said
    )
    return decorate


def begin(
    asked: Submission[Any], given: dict[str, Any], once: dict[str, str], wishes: Wishes, choices: int = 0
) -> Call:
    """Has the job accepted. `choices` is how many children give an answer each, 0 where it gives its own."""
    models, caller = service.current().catalog, auth.caller()
    wanted = wanted_once(once, asked.type, given)
    patient = not wishes.else_job
    return calls.begin(
        lambda session: kinds.plan(session, models, caller, asked),
        given,
        wanted,
        choices=choices,
        patient=patient,
        waits=wishes.wait_s > 0,
    )


def made_by(call: Call) -> str | None:
    """The fingerprint of the model that the call waits for."""
    return fingerprint.of(service.current().catalog.get(call.job.model))


def answered(call: Call, wishes: Wishes, answer: Callable[[JobView], Any]) -> Response:
    """What the job came to, by `answer`; or the job, where that is asked for and it hasn't ended in time.

    Raises `Failed` where it came to nothing, `NotInTime`.
    """
    if not wishes.else_job:
        return _answer(calls.ended(call, wishes.wait_s), answer)
    try:
        job = calls.awaited(call, wishes.wait_s) if wishes.wait_s else call.job
    finally:
        call.end(answered=True)
    response = _answer(job, answer) if job.ended else _accepted(job)
    response.headers["Preference-Applied"] = f"wait={wishes.wait_s:g}" if wishes.wait_s else "respond-async"
    return response


def streams(given: dict[str, Any], wishes: Wishes) -> bool:
    """Whether the answer is its events: a job that is asked for instead has a stream of its own."""
    return bool(given.get("stream")) and not wishes.else_job


def _answer(job: JobView, answer: Callable[[JobView], Any]) -> Response:
    if job.status != Status.SUCCEEDED:
        raise Failed(job)
    made = answer(job)
    return made if isinstance(made, Response) else reply(made)


def _accepted(job: JobView) -> Response:
    response = reply(job.as_json(), 202)
    response.headers["Location"] = f"/v1/jobs/{ids.show(job.id)}"
    return response
