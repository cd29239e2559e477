"""Jobs over HTTP: submit, look, list, cancel."""

import base64
import uuid
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
from flask import Response
from sqlalchemy.orm import Session
from werkzeug.http import parse_list_header

from dialects.fields import IdempotencyHeader, timing_of
from dialects.named import JOB
from tasks import kinds
from tasks.doors import retrying
from tasks.jobs import attempts, jobs
from tasks.jobs.requests import Plan, Request, Stored, Submission
from tasks.jobs.view import JobObject, JobView
from tasks.queues import places
from webapi import auth, presence, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.v1.jobs import answers, requests
from webapi.v1.jobs.accepting import REPLAYED, accept, named_webhook, wanted_once
from webapi.v1.paging import List, paged

blueprint = Blueprint("jobs", __name__, description="Work for a model: asked for, followed, ended.")

_LOCATION = {"Location": {"description": "The job.", "schema": {"type": "string"}}}
_APPLIED = {"Preference-Applied": {"description": "`wait=N` when it was honoured.", "schema": {"type": "string"}}}


@blueprint.route("/v1/jobs", methods=["POST"])
@blueprint.takes(Limits(lambda own: own.max_body_bytes, values=20_000))  # 2,048 texts and all fields are some 5,000
@blueprint.arguments(requests.JobRequest, example=requests.EXAMPLE)
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.doc(requestBody={"content": {"application/json": {"schema": requests.JOB_REQUEST}}})
@blueprint.response(202, JobObject, headers=_LOCATION | REPLAYED, description="Accepted: it will not be lost.")
@blueprint.answers(400, 401, 413, 414, 415, 422, 500, 503)
def submit(given: dict[str, Any], headers: dict[str, str]) -> Response:
    """Ask for a job

    The answer comes at once; the result is in the job, and in its events as it is made.
    """
    return accept(wanted_once(headers, "jobs", given), lambda session: _plan(session, given))


def _plan(session: Session, given: dict[str, Any]) -> Plan:
    asked = _submission(given, named_webhook(session, given))
    return kinds.plan(session, service.current().catalog, auth.caller(), asked)


@blueprint.route("/v1/jobs/<job_id>/retry", methods=["POST"], parameters=[JOB.in_path])
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(202, JobObject, headers=_LOCATION | REPLAYED, description="Accepted: it will not be lost.")
@blueprint.answers(401, 404, 409, 414, 422, 500, 503)
def retry(headers: dict[str, str], job_id: str) -> Response:
    """Ask again for what a job that has ended was asked for

    A new job with the old one's input, params, lane, priority, metadata, webhook and `deadline_s`, which names it
    in `retry_of`. An ingest takes over the documents that the old one left waiting; 409 when there are none.
    """
    models, caller, old = service.current().catalog, auth.caller(), JOB.parse(job_id)
    wanted = wanted_once(headers, "retry", job_id)
    return accept(wanted, lambda session: retrying.plan(session, models, caller, old))


@blueprint.route("/v1/jobs", methods=["GET"])
@blueprint.arguments(requests.JobsQuery, location="query")
@blueprint.response(200, List[JobObject])
@blueprint.answers(401, 414, 422, 500, 503)
@paged(JobView.as_json, after=lambda job: JOB.show(job.id))
def browse(query: dict[str, Any]) -> tuple[list[JobView], bool]:
    """List jobs, newest first"""
    with service.current().sessions.begin() as session:
        return jobs.page(session, auth.caller(), **query)


@blueprint.route("/v1/jobs/<job_id>", methods=["GET"], parameters=[JOB.in_path])
@blueprint.arguments(requests.ShowQuery, location="query")
@blueprint.arguments(requests.PreferHeader, location="headers")
@blueprint.response(200, answers.JobInFull, headers=_APPLIED)
@blueprint.answers(401, 404, 414, 422, 500, 503)
def show(query: dict[str, Any], headers: dict[str, str], job_id: str) -> Response:
    """Look at a job, or wait for its end"""
    wait_s, preferred = query.get("wait"), None
    if wait_s is None:
        wait_s = preferred = _preferred_wait_s(headers.get("prefer", ""))
    found = _awaited(JOB.parse(job_id), wait_s) if wait_s else _look(JOB.parse(job_id))
    response = _shown(found, query["encoding_format"])
    if preferred is not None:
        response.headers["Preference-Applied"] = f"wait={preferred}"
    return response


@blueprint.route("/v1/jobs/<job_id>/cancel", methods=["POST"], parameters=[JOB.in_path])
@blueprint.response(200, JobObject)
@blueprint.answers(401, 404, 500, 503)
def cancel(job_id: str) -> Response:
    """End a job

    A job that has ended stays as it is: asking again changes nothing.
    """
    return reply(service.current().desk.cancel(auth.caller(), JOB.parse(job_id)).as_json())


@blueprint.route("/v1/jobs/<job_id>", methods=["DELETE"], parameters=[JOB.in_path])
@blueprint.response(204, description="It is gone, with what went in and what came out.")
@blueprint.answers(401, 404, 409, 500, 503)
def delete(job_id: str) -> Response:
    """Erase a job that has ended

    With its children, its stream, and the webhooks about it that haven't been sent. What it cost stays in the ledger.
    409 for a job that hasn't ended, which is to be cancelled first, and for a part of another, which goes with that.
    """
    service.current().desk.erase(auth.caller(), JOB.parse(job_id))
    return Response(status=204)


def _awaited(job_id: uuid.UUID, wait_s: float) -> JobView:
    """The job when it has ended, or as it is after so many seconds."""
    serving = service.current()
    with serving.readers.held(auth.caller().tenant_id):
        found = _look(job_id)
        if found.ended:
            return found
        serving.rest()
        serving.reader.wait_for_end(job_id, wait_s, presence.has_left)
    return _look(job_id)


def _look(job_id: uuid.UUID) -> JobView:
    serving = service.current()
    with serving.sessions.begin() as session:
        found = jobs.get(session, auth.caller(), job_id)
        wait = None if found.ended else places.wait(session, job_id, serving.settings.shared.lease_s)
    return replace(found, position=wait.position) if wait else found


def _shown(found: JobView, encoding_format: str) -> Response:
    """The job whole, with its attempts, and the vectors that lists and events only link to."""
    with service.current().sessions.begin() as session:
        shown: answers.JobInFull = {**found.as_json(), "attempts": attempts.shown(session, found.id)}
        whole = kinds.KINDS[found.type].whole(session, found)
    if whole is None or whole is found.result:
        return reply(shown)
    shown["result"] = {name: _encoded(value, encoding_format) for name, value in whole.items()}
    # The vectors' own precision in a few digits, and a tenth of the time.
    return Response(orjson.dumps(shown, option=orjson.OPT_SERIALIZE_NUMPY), mimetype="application/json")


def _encoded(value: Any, encoding_format: str) -> Any:
    """Rows of numbers as their reader wants them; anything else as it is."""
    if not isinstance(value, np.ndarray) or encoding_format == "float":
        return value
    return [base64.b64encode(row.tobytes()).decode() for row in value]


def _submission(given: dict[str, Any], webhook: dict[str, Any] | None) -> Submission[Request]:
    return Submission(
        type=given["type"],
        model=given.get("model"),
        request=kinds.KINDS[given["type"]].parse(Stored(given["input"], given.get("params", {}))),
        lane=given.get("lane", "interactive"),
        priority=given.get("priority", 5),
        metadata=given.get("metadata", {}),
        timing=timing_of(given),
        webhook=webhook,
    )


def _preferred_wait_s(header: str) -> int | None:
    """The seconds of `Prefer: wait=N`. A preference we can't honour is as if it weren't there (RFC 7240, 2)."""
    for preference in parse_list_header(header):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            digits = value.strip().strip('"')
            honoured = digits.isascii() and digits.isdigit() and len(digits) <= 2 and int(digits) <= 60
            return int(digits) if honoured else None
    return None
