"""`/v1/chat/completions`."""

from typing import Any

from flask import Response

from tasks import kinds
from tasks.jobs.lifecycle import Status
from webapi import auth, calls, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.calls import Call
from webapi.fields import IdempotencyHeader
from webapi.openai import answers, asynchronous, errors, headers
from webapi.openai.headers import Headers
from webapi.openai.render import chat
from webapi.openai.requests.chat import ChatCompletionRequest, submission
from webapi.v1.jobs.accepting import wanted_once

blueprint = Blueprint("chat", __name__, description="OpenAI's chat completions, each a job.")
errors.register(blueprint)

LIMITS = Limits(lambda own: own.max_body_bytes, values=50_000)


@blueprint.route("/v1/chat/completions", methods=["POST"])
@blueprint.takes(LIMITS)
@blueprint.arguments(ChatCompletionRequest)
@blueprint.arguments(Headers, location="headers")
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, answers.ChatCompletion, description="The answer; with `stream`, chunks of it.")
@asynchronous.documented(blueprint)
@blueprint.alt_response(200, answers.ChatCompletionChunk, content_type="text/event-stream")
@blueprint.answers(400, 401, 404, 408, 409, 413, 414, 415, 500, 503)
def create(given: dict[str, Any], said: dict[str, Any], once: dict[str, str]) -> Response:
    """Have a conversation answered

    As OpenAI's clients ask it. The answer is a job's: it waits its turn, survives what dies, and is worth a status of
    its own with `Prefer: respond-async`.
    """
    wishes = headers.wishes(said, given.get("service_tier"))
    asked = submission(given, wishes)
    call = calls.begin(
        lambda session: kinds.plan(session, service.current().catalog, auth.caller(), asked),
        given,
        wanted_once(once, "chat", given),
        choices=0 if asked.request.single else len(asked.request.singles()),
        patient=not wishes.else_job,
    )
    older = "functions" in given
    if wishes.else_job:
        return asynchronous.answered(call, wishes.wait_s, lambda job: chat.completion(job, older=older))
    if given.get("stream"):
        return calls.streamed(call, _chunks(call, given, older))
    ended = calls.ended(call, wishes.wait_s)
    if ended.status != Status.SUCCEEDED:
        raise errors.Failed(ended)
    return reply(chat.completion(ended, older=older))


def _chunks(call: Call, given: dict[str, Any], older: bool) -> chat.Chunks:
    usage = given.get("stream_options", {}).get("include_usage", False)
    return chat.Chunks(call.job, include_usage=usage, older=older)
