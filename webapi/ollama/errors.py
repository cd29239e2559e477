"""Errors as Ollama tells them: one sentence, and its statuses."""

from typing import Any

from flask import Response

from dialects.openai.errors import Failed
from tasks import errors
from tasks.jobs.view import JobView
from webapi.api import Blueprint, reply
from webapi.ollama.answers import OllamaError

# Where Ollama has another status than we have elsewhere.
_STATUS = {422: 400}
# What our paths are called here.
_PARAMS = {
    "shape": "format",
    "texts": "input",
    "max_tokens": "options.num_predict",
    "stop": "options.stop",
    "seed": "options.seed",
}


def register(blueprint: Blueprint) -> None:
    """Has all that goes wrong in these routes told so."""
    blueprint.register_error_handler(Failed, _failed)
    blueprint.tells, blueprint.wrong = _told, 400
    blueprint.error = OllamaError, "application/json"


def of(job: JobView) -> OllamaError:
    """How a job that didn't succeed is told within a stream."""
    return {"error": str(Failed(job))}


def _failed(failed: Failed) -> Response:
    return reply({"error": str(failed)}, failed.status)


def _told(status: int, code: str, message: str, param: str | None, details: dict[str, Any] | None) -> Response:
    del details
    if code == errors.ModelUnknown.code:
        status, param = 404, None
    told = f"{_named(param)}: {message}" if param else message
    response = reply({"error": told}, _STATUS.get(status, status))
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _named(path: str) -> str:
    """What a path of ours, as `params.shape`, is called here."""
    for room in ("input.", "params."):
        if path.startswith(room):
            first, dot, rest = path.removeprefix(room).partition(".")
            return _PARAMS.get(first, first) + dot + rest
    return path
