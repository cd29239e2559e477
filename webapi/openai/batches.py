"""`/v1/batches`."""

from typing import Any

from flask import Response

from dialects.named import BATCH
from dialects.openai.render import batches as rendered
from dialects.openai.render.batches import OpenAIBatch, OpenAIBatchList
from dialects.openai.requests import batches as requests
from tasks import kinds
from tasks.batches import batches
from tasks.errors import Conflict
from webapi import auth, requestlog, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.openai import errors
from webapi.v1.jobs.accepting import wanted_once

blueprint = Blueprint("batches", __name__, description="OpenAI's batches: a file of requests, each line a job.")
errors.register(blueprint)

_LIMITS = Limits(lambda own: 64 * 1024, values=100)  # noqa: ARG005 whatever the settings say
_EXAMPLE = {
    "input_file_id": "file-0192f0c1d2e37f4f8a5b6c7d8e9f0a1b",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
}


@blueprint.route("/v1/batches", methods=["POST"])
@blueprint.takes(_LIMITS)
@blueprint.arguments(requests.CreateBatch, example=_EXAMPLE)
@blueprint.arguments(requests.BatchHeaders, location="headers")
@blueprint.response(200, OpenAIBatch)
@blueprint.answers(400, 401, 413, 414, 415, 500, 503)
def create(given: dict[str, Any], headers: dict[str, Any]) -> Response:
    """Have a file of requests answered

    Once all its lines are found to be right, each becomes a job in the batch lane. Their answers are written into two
    files when the last has ended: those of requests that were answered, and the errors of the others.
    """
    serving, caller = service.current(), auth.caller()
    asked = requests.submission(given, headers["priority"])
    job, _ = serving.desk.accept(
        caller,
        lambda session: kinds.plan(session, serving.catalog, caller, asked),
        wanted_once(headers, asked.type, given),
    )
    requestlog.about_job(job.id)
    with serving.sessions.begin() as session:
        return reply(rendered.batch(batches.get(session, caller, job.id, serving.counting)))


@blueprint.route("/v1/batches", methods=["GET"])
@blueprint.arguments(requests.BatchListQuery, location="query")
@blueprint.response(200, OpenAIBatchList)
@blueprint.answers(400, 401, 414, 500, 503)
def browse(query: dict[str, Any]) -> Response:
    """List batches"""
    with service.current().sessions.begin() as session:
        found, more = batches.page(session, auth.caller(), **query, counting=service.current().counting)
    return reply(rendered.listed(found, more))


@blueprint.route("/v1/batches/<batch_id>", methods=["GET"], parameters=[BATCH.in_path])
@blueprint.response(200, OpenAIBatch)
@blueprint.answers(401, 404, 500, 503)
def show(batch_id: str) -> Response:
    """Look at a batch"""
    with BATCH.sought(batch_id) as id, service.current().sessions.begin() as session:
        found = batches.get(session, auth.caller(), id, service.current().counting)
    return reply(rendered.batch(found))


@blueprint.route("/v1/batches/<batch_id>/cancel", methods=["POST"], parameters=[BATCH.in_path])
@blueprint.response(200, OpenAIBatch)
@blueprint.answers(401, 404, 409, 500, 503)
def cancel(batch_id: str) -> Response:
    """Cancel a batch

    It is `cancelling` at once, and `cancelled` when its files are written: they have what was finished, and an error
    for every other line. One that ends already is left to that; one that has ended otherwise is a conflict.
    """
    serving, caller = service.current(), auth.caller()
    with BATCH.sought(batch_id) as id:
        serving.desk.cancel_batch(caller, id)
        with serving.sessions.begin() as session:
            found = batches.get(session, caller, id, serving.counting)
        if found.ended_at is not None and found.status != "cancelled":
            raise Conflict(f"Cannot cancel a batch with status '{found.status}'.")
    return reply(rendered.batch(found))
