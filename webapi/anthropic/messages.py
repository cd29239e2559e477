"""`/v1/messages`."""

from typing import Any

from flask import Response

from dialects.anthropic.answers import AnthropicMessage, AnthropicTokens
from dialects.anthropic.render import messages
from dialects.anthropic.requests.messages import AnthropicCountRequest, AnthropicMessageRequest, count, submission
from dialects.openai.errors import Failed
from dialects.wishes import Wishes
from tasks import kinds
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Submission
from tasks.jobs.view import JobView
from webapi import auth, calls, service, shaping
from webapi.anthropic import errors
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.calls import Call
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
    asked = submission(given, _wishes())
    shaping.refuse_bad_schemas(asked.request, "output_config.format.schema", "tools", "input_schema")
    call = _begun(asked, given)
    if given.get("stream"):
        return calls.streamed(call, messages.Events(call.job))
    return reply(messages.message(_succeeded(call)))


@blueprint.route("/v1/messages/count_tokens", methods=["POST"])
@blueprint.takes(LIMITS)
@blueprint.arguments(AnthropicCountRequest, example={name: _EXAMPLE[name] for name in ("model", "messages")})
@blueprint.response(200, AnthropicTokens)
@blueprint.answers(400, 401, 404, 408, 409, 413, 415, 500, 503)
def count_tokens(given: dict[str, Any]) -> Response:
    """Count the tokens that a conversation's model would read

    Exactly, as its worker does it: a job that costs no tokens.
    """
    job = _succeeded(_begun(count(given, _wishes()), given))
    assert job.result is not None
    answer: AnthropicTokens = {"input_tokens": job.result["input_tokens"]}
    return reply(answer)


def _wishes() -> Wishes:
    return Wishes(headers.patience_s(), else_job=False)


def _begun(asked: Submission[Any], given: dict[str, Any]) -> Call:
    models, caller = service.current().catalog, auth.caller()
    return calls.begin(lambda session: kinds.plan(session, models, caller, asked), given)


def _succeeded(call: Call) -> JobView:
    """The job, once it has ended. Raises `Failed` where it came to nothing, `NotInTime`."""
    job = calls.ended(call, headers.patience_s())
    if job.status != Status.SUCCEEDED:
        raise Failed(job)
    return job
