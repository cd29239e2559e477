"""`/v1/chat/completions`."""

from typing import Any

from flask import Response

from dialects.fields import IdempotencyHeader
from dialects.openai import answers
from dialects.openai.render import chat
from dialects.openai.requests.chat import ChatCompletionRequest, submission
from tasks.kinds import toolset
from webapi import calls, service, shaping
from webapi.api import Blueprint
from webapi.body import Limits
from webapi.openai import creating, errors, headers
from webapi.openai.headers import Headers

blueprint = Blueprint("chat", __name__, description="OpenAI's chat completions, each a job.")
errors.register(blueprint)

LIMITS = Limits(lambda own: own.max_body_bytes, values=50_000)


@blueprint.route("/v1/chat/completions", methods=["POST"])
@blueprint.takes(LIMITS)
@blueprint.arguments(ChatCompletionRequest)
@blueprint.arguments(Headers, location="headers")
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, answers.ChatCompletion)
@creating.streamed(blueprint, answers.ChatCompletionChunk)
@creating.documented(blueprint)
@blueprint.answers(400, 401, 404, 408, 409, 413, 414, 415, 500, 503)
def create(given: dict[str, Any], said: dict[str, Any], once: dict[str, str]) -> Response:
    """Have a conversation answered

    As OpenAI's clients ask it. The answer is a job's: it waits its turn, survives what dies, and is worth a status of
    its own with `Prefer: respond-async`.
    """
    wishes = headers.wishes(said, given.get("service_tier"))
    served = toolset.tools(service.current().toolbox, given.get("server_functions", ()))
    asked = submission(given, wishes, served)
    shaping.refuse_bad_schemas(asked.request, "response_format.json_schema.schema", "tools")
    call = creating.begin(asked, given, once, wishes, asked.request.children)
    older, made_by = "functions" in given, creating.made_by(call)
    if creating.streams(given, wishes):
        usage = given.get("stream_options", {}).get("include_usage", False)
        names = asked.request.server_functions
        return calls.streamed(call, chat.Chunks(call.job, names, include_usage=usage, older=older, made_by=made_by))
    return creating.answered(call, wishes, lambda job: chat.completion(job, older=older, made_by=made_by))
