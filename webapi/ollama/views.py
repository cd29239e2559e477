"""`/api/generate`, `/api/chat`, `/api/embed` and the older `/api/embeddings`."""

from collections.abc import Mapping
from typing import Any

import orjson
from flask import Response
from marshmallow import EXCLUDE
from numpy.typing import NDArray

from dialects.openai.errors import Failed
from tasks import kinds
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Submission
from tasks.jobs.view import JobView
from tasks.kinds import embed as embed_kind
from webapi import auth, calls, service, shaping
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.calls import Call
from webapi.ollama import answers, asking, errors, render, requests
from webapi.ollama.render import Lines

blueprint = Blueprint("ollama", __name__, description="What Ollama's clients ask, each a job.")
errors.register(blueprint)

PATIENCE_S = 600.0
_LIMITS = Limits(lambda own: own.max_body_bytes, values=50_000, any_type=True)
_STATUSES = (400, 401, 404, 408, 409, 413, 415, 500, 503)
_LINES = {"type": "string", "description": "NDJSON: pieces, the last of them with `done`."}


@blueprint.route("/api/generate", methods=["POST"])
@blueprint.takes(_LIMITS)
@blueprint.arguments(
    requests.OllamaGenerateRequest, unknown=EXCLUDE, example={"model": "alpha", "prompt": "Why?", "stream": False}
)
@blueprint.response(200, answers.OllamaGenerated, description="With `stream: false`.")
@blueprint.alt_response(200, schema=_LINES, content_type="application/x-ndjson")
@blueprint.answers(*_STATUSES)
def generate(given: dict[str, Any]) -> Response:
    """Have a prompt answered

    By the model's chat template, or, with `raw`, continued as it stands.
    """
    asked, lines = asking.model(service.current().catalog, given["model"]), Lines(given["model"], chats=False)
    if not given.get("prompt") and not given.get("suffix"):
        return reply(lines.loaded())
    return _answered(asking.generation(given, asked), given, lines)


@blueprint.route("/api/chat", methods=["POST"])
@blueprint.takes(_LIMITS)
@blueprint.arguments(
    requests.OllamaChatRequest,
    unknown=EXCLUDE,
    example={"model": "alpha", "messages": [{"role": "user", "content": "Why?"}]},
)
@blueprint.response(200, answers.OllamaChatted, description="With `stream: false`.")
@blueprint.alt_response(200, schema=_LINES, content_type="application/x-ndjson")
@blueprint.answers(*_STATUSES)
def chat(given: dict[str, Any]) -> Response:
    """Have a conversation answered"""
    asked, lines = asking.model(service.current().catalog, given["model"]), Lines(given["model"], chats=True)
    if not given["messages"]:
        return reply(lines.loaded())
    return _answered(asking.chat(given, asked), given, lines)


@blueprint.route("/api/embed", methods=["POST"])
@blueprint.takes(_LIMITS)
@blueprint.arguments(
    requests.OllamaEmbedRequest, unknown=EXCLUDE, example={"model": "embedder", "input": ["one", "two"]}
)
@blueprint.response(200, answers.OllamaEmbedded)
@blueprint.answers(*_STATUSES)
def embed(given: dict[str, Any]) -> Response:
    """Have texts embedded"""
    asked, size = asking.model(service.current().catalog, given["model"]), given.get("dimensions")
    if not given["input"]:  # as clients ask to have a model loaded
        nothing = {"total_duration": 0, "load_duration": 0, "prompt_eval_count": 0}
        return reply({"model": given["model"], "embeddings": [], **nothing})
    job = _ended(_begun(asking.embedding(given["input"], asked, size), given))
    return _numbers(
        {
            "model": given["model"],
            "embeddings": render.cut(_vectors(job), size),
            **render.took(job),
            "prompt_eval_count": job.spent.embedding,
        }
    )


@blueprint.route("/api/embeddings", methods=["POST"])
@blueprint.takes(_LIMITS)
@blueprint.arguments(requests.OllamaEmbeddingsRequest, unknown=EXCLUDE, example={"model": "embedder", "prompt": "one"})
@blueprint.response(200, answers.OllamaEmbedding)
@blueprint.answers(*_STATUSES)
def embeddings(given: dict[str, Any]) -> Response:
    """Have one text embedded, as older clients ask it"""
    asked = asking.model(service.current().catalog, given["model"])
    job = _ended(_begun(asking.embedding([given["prompt"]], asked), given))
    return _numbers({"embedding": _vectors(job)[0]})


def _answered(asked: Submission[Any], given: Mapping[str, Any], lines: Lines) -> Response:
    shaping.refuse_bad_schemas(asked.request, "format", "tools")
    call = _begun(asked, given)
    if given.get("stream", True):
        return calls.streamed(call, lines)
    return reply(lines.whole(_ended(call)))


def _begun(asked: Submission[Any], given: Mapping[str, Any]) -> Call:
    models, caller = service.current().catalog, auth.caller()
    return calls.begin(lambda session: kinds.plan(session, models, caller, asked), given)


def _ended(call: Call) -> JobView:
    """The job that succeeded. Raises `Failed`, `NotInTime`."""
    job = calls.ended(call, PATIENCE_S)
    if job.status != Status.SUCCEEDED:
        raise Failed(job)
    return job


def _vectors(job: JobView) -> NDArray[Any]:
    with service.current().sessions.begin() as session:
        return embed_kind.vectors(session, job.id)


def _numbers(told: Mapping[str, Any]) -> Response:
    """The vectors' own precision in a few digits."""
    return Response(orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY), mimetype="application/json")
