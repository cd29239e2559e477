"""Errors as OpenAI's clients know them: its statuses and codes, and whether asking again would help."""

import time
from typing import Any

from flask import Response, g

from tasks import errors
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from webapi import errors as ours
from webapi.api import Blueprint

VERSION = "2020-10-01"  # of OpenAI's API, the only one there is
MOST_RETRY_AFTER_S = 120  # its clients don't ask again at all where they are told of more

# Where OpenAI has another status or code than we have elsewhere.
_STATUS = {422: 400}
_CODES = {"unauthorized": "invalid_api_key", "share_used_up": "rate_limit_exceeded", "malformed_body": "invalid_json"}
_NOT_FOUND = errors.ModelUnknown.code
# What our paths are called here.
_PARAMS = {
    "choices": "n",
    "shape": "response_format",
    "turns": "messages",
    "texts": "input",
    "prompts": "prompt",
    "prompt_ids": "prompt",
}
# How a job that failed is answered; all else is our fault.
_FAILED = {
    errors.ContextLengthExceeded.code: (400, False),
    errors.EngineRefused.code: (400, False),
    errors.SchemaRefused.code: (400, False),
    errors.DeadlineExceeded.code: (408, False),
    errors.ModelRemoved.code: (404, False),
    errors.Poison.code: (500, False),
}


class Failed(errors.ForebayError):
    """The job ended without an answer."""

    def __init__(self, job: JobView) -> None:
        error = job.error or {"code": f"job_{job.status}", "message": f"the job was {job.status}"}
        super().__init__(error["message"])
        self.code = error["code"]
        usual = (409, False) if job.status in (Status.CANCELLED, Status.EXPIRED) else (500, True)
        self.status, self.again = _FAILED.get(self.code, usual)


def register(blueprint: Blueprint) -> None:
    """Has all that goes wrong in these routes told so, and all that goes well marked as OpenAI marks it."""
    blueprint.register_error_handler(Failed, _failed)
    blueprint.after_request(_marked)
    blueprint.tells = _told


def of(code: str, message: str, status: int = 500) -> dict[str, Any]:
    """An error within a stream."""
    return {"error": {"message": message, "type": ours.type_of(status), "param": None, "code": code}}


def _told(status: int, code: str, message: str, param: str | None, details: dict[str, Any] | None) -> Response:
    if code == _NOT_FOUND:
        status = 404
    response = ours.answer(
        _STATUS.get(status, status), _CODES.get(code, code), message, param=param and named(param), details=details
    )
    if status == 409:  # the client libraries would repeat it, and could never succeed
        response.headers["x-should-retry"] = "false"
    return response


def named(path: str) -> str:
    """What OpenAI calls a field of ours, as in `params.top_p`. Its own `input` is a list: `input.0` keeps its name."""
    for room in ("input.", "params."):
        if path.startswith(room) and not path.removeprefix(room)[0].isdigit():
            first, dot, rest = path.removeprefix(room).partition(".")
            return _PARAMS.get(first, first) + dot + rest
    return path


def _failed(error: Failed) -> Response:
    response = ours.answer(error.status, error.code, str(error))
    response.headers["x-should-retry"] = "true" if error.again else "false"
    return response


def _marked(response: Response) -> Response:
    response.headers["openai-version"] = VERSION
    response.headers["openai-processing-ms"] = str(round(1000 * (time.monotonic() - g.begun_at)))
    after = response.headers.get("Retry-After", "")
    if after.isdigit() and int(after) > MOST_RETRY_AFTER_S:
        response.headers["Retry-After"] = str(MOST_RETRY_AFTER_S)
    return response
