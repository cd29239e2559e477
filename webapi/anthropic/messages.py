"""`/v1/messages`."""

from typing import Any

from flask import Response

from dialects.anthropic.answers import AnthropicMessage
from dialects.anthropic.render import messages
from dialects.anthropic.requests.messages import AnthropicMessageRequest, submission
from dialects.openai.errors import Failed
from dialects.wishes import Wishes
from tasks import kinds
from tasks.jobs.lifecycle import Status
from webapi import auth, calls, service, shaping
from webapi.anthropic import errors
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.openai import headers

blueprint = Blueprint("messages", __name__, description="Anthropic's messages, each a job.")
errors.register(blueprint)

LIMITS = Limits(lambda own: own.max_body_bytes, values=50_000)
_EVENTS = {"type": "string", "description": "Server-sent events, from `message_start` to `message_stop`."}
_EXAMPLE = {"model": "alpha", "max_tokens": 16, "messages": [{"role": "user", "content": "Why?"}]}


@blueprint.route("/v1/messages", methods=["POST"])
@blueprint.takes(LIMITS)
@blueprint.arguments(AnthropicMessageRequest, example=_EXAMPLE)
@blueprint.response(200, AnthropicMessage)
@blueprint.alt_response(200, schema=_EVENTS, content_type="text/event-stream", description="With `stream`.")
@blueprint.answers(400, 401, 404, 408, 409, 413, 415, 500, 503)
def create(given: dict[str, Any]) -> Response:
    """Have a conversation answered

    As Anthropic's clients ask it, with the key as `x-api-key` or `Authorization: Bearer`.
    """
    patience_s = headers.patience_s()
    asked = submission(given, Wishes(patience_s, else_job=False))
    shaping.refuse_bad_schemas(asked.request, "output_config.format.schema", "tools", "input_schema")
    models, caller = service.current().catalog, auth.caller()
    call = calls.begin(lambda session: kinds.plan(session, models, caller, asked), given)
    if given.get("stream"):
        return calls.streamed(call, messages.Events(call.job))
    job = calls.ended(call, patience_s)
    if job.status != Status.SUCCEEDED:
        raise Failed(job)
    return reply(messages.message(job))
