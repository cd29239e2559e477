"""`/v1/embeddings`."""

from typing import Any

import orjson
from flask import Response

from dialects.fields import IdempotencyHeader
from dialects.openai import answers
from dialects.openai.render import embeddings
from dialects.openai.requests.embeddings import EmbeddingRequest, submission
from tasks.jobs.view import JobView
from tasks.kinds import embed
from webapi import service
from webapi.api import Blueprint
from webapi.body import Limits
from webapi.openai import creating, errors, headers
from webapi.openai.headers import Headers

blueprint = Blueprint("embeddings", __name__, description="OpenAI's embeddings, each request a job.")
errors.register(blueprint)

_LIMITS = Limits(lambda own: own.max_body_bytes, values=400_000)  # OpenAI takes 300,000 tokens in sum


@blueprint.route("/v1/embeddings", methods=["POST"])
@blueprint.takes(_LIMITS)
@blueprint.arguments(EmbeddingRequest)
@blueprint.arguments(Headers, location="headers")
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, answers.EmbeddingList)
@creating.documented(blueprint)
@blueprint.answers(400, 401, 404, 408, 409, 413, 414, 415, 500, 503)
def create(given: dict[str, Any], said: dict[str, Any], once: dict[str, str]) -> Response:
    """Have texts embedded

    As OpenAI's clients ask it: texts, or their token ids.
    """
    wishes = headers.wishes(said, given.get("service_tier"))
    asked = submission(given, wishes, service.current().catalog)
    call = creating.begin(asked, given, once, wishes)
    service.current().end_turn()
    return creating.answered(call, wishes, lambda job: _answer(job, given))


def _answer(job: JobView, given: dict[str, Any]) -> Response:
    with service.current().sessions.begin() as session:
        vectors = embed.vectors(session, job.id)
    told = embeddings.embeddings(job, vectors, given.get("encoding_format", "float"), given.get("dimensions"))
    # The vectors' own precision in a few digits, and a tenth of the time.
    return Response(orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY), mimetype="application/json")
