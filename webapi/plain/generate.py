"""`/api/v1/generate`."""

from typing import Any

from flask import Response

from dialects import sse
from dialects.fields import IdempotencyHeader
from webapi.api import Blueprint
from webapi.body import Limits
from webapi.plain import errors, render, requests
from webapi.plain.answering import answered
from webapi.plain.render import Pieces

blueprint = Blueprint("plain", __name__, description="A prompt in, a text out.")
errors.register(blueprint)

_EVENT = sse.described('`{"response": "…"}`, at the end `{}`.')


@blueprint.route("/api/v1/generate", methods=["POST"])
@blueprint.takes(Limits(lambda own: own.max_body_bytes, values=1000))
@blueprint.arguments(requests.PlainGenerateRequest, example={"prompt": "Once upon a time", "max_tokens": 50})
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, render.PlainGenerated, description="The answer; with `stream`, pieces of it.")
@blueprint.alt_response(200, schema=_EVENT, content_type="text/event-stream")
@blueprint.answers(400, 401, 404, 408, 409, 413, 414, 415, 422, 500, 503)
def generate(given: dict[str, Any], headers: dict[str, str]) -> Response:
    """Have a prompt continued

    As it stands, without a chat template.
    """
    return answered(requests.generation(given), given, headers, render.generated, Pieces("response"))
