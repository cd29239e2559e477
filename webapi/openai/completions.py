"""`/v1/completions`, the older way to have a prompt continued."""

from typing import Any

from flask import Response

from dialects.fields import IdempotencyHeader
from dialects.openai import answers
from dialects.openai.render import completions
from dialects.openai.render.completions import Chunks, Echo
from dialects.openai.requests.completions import CompletionRequest, submission
from webapi import calls
from webapi.api import Blueprint
from webapi.openai import creating, errors, headers
from webapi.openai.chat import LIMITS
from webapi.openai.headers import Headers

blueprint = Blueprint("completions", __name__, description="OpenAI's completions, each a job.")
errors.register(blueprint)


@blueprint.route("/v1/completions", methods=["POST"])
@blueprint.takes(LIMITS)
@blueprint.arguments(CompletionRequest)
@blueprint.arguments(Headers, location="headers")
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, answers.Completion)
@creating.streamed(blueprint, answers.CompletionChunk)
@creating.documented(blueprint)
@blueprint.answers(400, 401, 404, 408, 409, 413, 414, 415, 500, 503)
def create(given: dict[str, Any], said: dict[str, Any], once: dict[str, str]) -> Response:
    """Have a prompt continued

    As OpenAI's clients ask it; each prompt's answers are jobs of their own beside each other.
    """
    wishes = headers.wishes(said, given.get("service_tier"))
    asked = submission(given, wishes)
    call = creating.begin(asked, given, once, wishes, asked.request.children)
    echo = Echo(given["prompt"], given.get("n", 1)) if given.get("echo") else Echo()
    made_by = creating.made_by(call)
    if creating.streams(given, wishes):
        usage = given.get("stream_options", {}).get("include_usage", False)
        return calls.streamed(call, Chunks(call.job, echo, include_usage=usage, made_by=made_by))
    return creating.answered(call, wishes, lambda job: completions.completion(job, echo, made_by))
