"""`/v1/predictions`: made, looked at, listed, cancelled."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from flask import Response

from dialects.fields import IdempotencyHeader
from tasks import kinds
from tasks.jobs import jobs, view
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from webapi import auth, calls, requestlog, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.replicate import answers, asking, render, requests
from webapi.replicate import errors as problems
from webapi.replicate.named import PREDICTION
from webapi.v1.jobs.accepting import wanted_once

blueprint = Blueprint("predictions", __name__, description="Jobs, as Replicate's clients ask for them.")
problems.register(blueprint)

_LIMITS = Limits(lambda own: own.max_body_bytes, values=20_000)
_STATUSES = (400, 401, 404, 413, 414, 415, 422, 500, 503)
_EXAMPLE = {"input": {"prompt": "Tell me a story about Anna.", "max_tokens": 100}}
_PAGE = 100


@blueprint.route("/v1/predictions", methods=["POST"])
@blueprint.takes(_LIMITS)
@blueprint.arguments(requests.PredictionRequest, example={"version": "alpha", **_EXAMPLE})
@blueprint.arguments(requests.PredictionHeaders, location="headers")
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(201, answers.Prediction, description="Accepted; with `Prefer: wait`, after its end.")
@blueprint.alt_response(202, schema=answers.Prediction, description="With `Prefer: wait`: it hasn't ended in time.")
@blueprint.answers(*_STATUSES)
def create(given: dict[str, Any], said: dict[str, Any], once: dict[str, str]) -> Response:
    """Have a prediction made"""
    return _created(given, said, once)


@blueprint.route("/v1/models/<owner>/<name>/predictions", methods=["POST"])
@blueprint.takes(_LIMITS)
@blueprint.arguments(requests.ModelPredictionRequest, example=_EXAMPLE)
@blueprint.arguments(requests.PredictionHeaders, location="headers")
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(201, answers.Prediction, description="Accepted; with `Prefer: wait`, after its end.")
@blueprint.alt_response(202, schema=answers.Prediction, description="With `Prefer: wait`: it hasn't ended in time.")
@blueprint.answers(*_STATUSES)
def create_by_model(
    given: dict[str, Any], said: dict[str, Any], once: dict[str, str], owner: str, name: str
) -> Response:
    """Have a prediction made by this model

    Whoever owns it: `owner` is a word that clients want to say.
    """
    return _created({**given, "model": f"{owner}/{name}"}, said, once)


@blueprint.route("/v1/predictions", methods=["GET"])
@blueprint.arguments(requests.PredictionsQuery, location="query")
@blueprint.response(200, answers.PredictionPage)
@blueprint.answers(401, 414, 422, 500, 503)
def browse(query: dict[str, Any]) -> Response:
    """List predictions, newest first

    All the tenant's jobs, in whichever dialect they were asked for.
    """
    with service.current().sessions.begin() as session:
        found, more = jobs.page(session, auth.caller(), limit=_PAGE, before=query.get("cursor"))
    after = render.address(f"/v1/predictions?cursor={PREDICTION.show(found[-1].id)}") if more else None
    results = [render.prediction(job, None) for job in found]
    return reply({"previous": None, "next": after, "results": results})


@blueprint.route("/v1/predictions/<prediction_id>", methods=["GET"], parameters=[PREDICTION.in_path])
@blueprint.response(200, answers.Prediction)
@blueprint.answers(401, 404, 500, 503)
def show(prediction_id: str) -> Response:
    """Look at a prediction"""
    with PREDICTION.sought(prediction_id) as id:
        return _shown(id)


@blueprint.route("/v1/predictions/<prediction_id>/cancel", methods=["POST"], parameters=[PREDICTION.in_path])
@blueprint.response(200, answers.Prediction)
@blueprint.answers(401, 404, 500, 503)
def cancel(prediction_id: str) -> Response:
    """Cancel a prediction

    One that has ended stays as it is.
    """
    with PREDICTION.sought(prediction_id) as id:
        service.current().desk.cancel(auth.caller(), id)
        return _shown(id)


def _created(given: dict[str, Any], said: dict[str, Any], once: dict[str, str]) -> Response:
    serving, caller = service.current(), auth.caller()
    models, wait_s = serving.catalog, asking.wait_s(said.get("prefer", ""))
    asked = asking.model(models, given)
    call = calls.begin(
        lambda session: kinds.plan(
            session, models, caller, asking.submission(session, given, asked, said.get("cancel_after_s"))
        ),
        given,
        wanted_once(once, "predictions", given, said.get("cancel_after_s")),
        patient=False,
        waits=wait_s is not None and wait_s > 0,
    )
    try:
        job = calls.awaited(call, wait_s) if wait_s else call.job
    finally:
        call.end(answered=True)
    if wait_s and not job.ended:
        # Replicate's client libraries take all but `starting` for the end.
        return _told(replace(job, status=Status.QUEUED), given["input"], status=202)
    return _told(job, given["input"], _whole(job), status=201)


def _shown(id: uuid.UUID) -> Response:
    requestlog.about_job(id)
    with service.current().sessions.begin() as session:
        row, output = jobs.find(session, auth.caller(), id)
        job, given = view.with_output(row, output), {**(row.input or {}), **(row.params or {})}
    return _told(job, given, _whole(job))


def _whole(job: JobView) -> Mapping[str, Any] | None:
    """The vectors, where there are any."""
    if job.type != "embed" or job.status != Status.SUCCEEDED:
        return None
    with service.current().sessions.begin() as session:
        return kinds.KINDS[job.type].whole(session, job)


def _told(
    job: JobView, given: Mapping[str, Any], whole: Mapping[str, Any] | None = None, status: int = 200
) -> Response:
    """The vectors' own precision in a few digits."""
    told = orjson.dumps(render.prediction(job, given, whole), option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(told, status, mimetype="application/json")
