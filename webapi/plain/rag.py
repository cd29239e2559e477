"""`/v1/rag`: texts brought, and questions answered from them."""

from typing import Any

from flask import Response

from dialects import sse
from dialects.fields import IdempotencyHeader
from tasks import ids, kinds
from tasks.jobs import jobs
from tasks.jobs.requests import Stored
from webapi import auth, requestlog, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.plain import errors, render, requests
from webapi.plain.answering import answered
from webapi.plain.render import Pieces
from webapi.v1.jobs.accepting import wanted_once

blueprint = Blueprint("rag", __name__, description="Texts brought, and questions answered from them.")
errors.register(blueprint)

_LOCATION = {"Location": {"description": "The job that ingests them.", "schema": {"type": "string"}}}
_EVENT = sse.described('`{"sources": […]}`, then `{"answer": "…"}`, at the end `{}`.')


@blueprint.route("/v1/rag/documents", methods=["POST"])
@blueprint.takes(Limits(lambda own: own.max_upload_bytes, values=20_000))
@blueprint.arguments(requests.RagDocumentsRequest, example={"texts": ["The code of the harbour is 19."]})
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(202, render.RagAccepted, headers=_LOCATION, description="Accepted: they will not be lost.")
@blueprint.answers(400, 401, 413, 414, 415, 422, 500, 503)
def bring(given: dict[str, Any], headers: dict[str, str]) -> Response:
    """Bring texts

    The answer comes when they are accepted; questions are answered from them once the job has succeeded.
    """
    serving, caller, asked = service.current(), auth.caller(), requests.ingest(given)
    models = serving.catalog
    job, _ = serving.desk.accept(
        caller,
        lambda session: kinds.plan(session, models, caller, asked),
        wanted_once(headers, "rag documents", given),
    )
    requestlog.about_job(job.id)
    with serving.sessions.begin() as session:
        row, _ = jobs.find(session, caller, job.id)
        stored = kinds.KINDS["ingest"].parse(Stored(row.input, row.params)).to_json().input
    response = reply(render.accepted(job, stored["collection"], stored["documents"]), 202)
    response.headers["Location"] = f"/v1/jobs/{ids.show(job.id)}"
    return response


@blueprint.route("/v1/rag/chat", methods=["POST"])
@blueprint.takes(Limits(lambda own: own.max_body_bytes, values=1000))
@blueprint.arguments(requests.RagChatRequest, example={"query": "What is the code of the harbour?", "max_tokens": 50})
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, render.RagAnswer, description="The answer; with `stream`, its sources, then pieces of it.")
@blueprint.alt_response(200, schema=_EVENT, content_type="text/event-stream")
@blueprint.answers(400, 401, 404, 408, 409, 413, 414, 415, 422, 500, 503)
def chat(given: dict[str, Any], headers: dict[str, str]) -> Response:
    """Have a question answered from the texts that were brought"""
    return answered(requests.question(given), given, headers, render.answered, Pieces("answer"))
