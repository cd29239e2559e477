"""Errors as OpenAI's clients know them: its statuses and codes, and whether asking again would help."""

from typing import Any

from dialects import errors as ours
from dialects.errors import Error
from tasks import errors
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView

# Where OpenAI has another status or code than we have elsewhere.
_STATUS = {422: 400}
_CODES = {"unauthorized": "invalid_api_key", "share_used_up": "rate_limit_exceeded", "malformed_body": "invalid_json"}
_NOT_FOUND = (errors.ModelUnknown.code, errors.ConversationMissing.code)
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


def of(code: str, message: str, status: int = 500) -> dict[str, Any]:
    """An error within a stream."""
    return {"error": {"message": message, "type": ours.type_of(status), "param": None, "code": code}}


def told(
    status: int, code: str, message: str, param: str | None, details: dict[str, Any] | None = None
) -> tuple[int, Error]:
    """An error of ours in OpenAI's words: its status, and its body. Its clients' exceptions tell the message alone, so
    that has the field's name too."""
    status, name = 404 if code in _NOT_FOUND else _STATUS.get(status, status), param and named(param)
    said = f"{name}: {message}" if name and name not in message else message
    return status, ours.of(status, _CODES.get(code, code), said, name, details)


def named(path: str) -> str:
    """What OpenAI calls a field of ours, as in `params.top_p`. Its own `input` is a list: `input.0` keeps its name."""
    for room in ("input.", "params."):
        if path.startswith(room) and not path.removeprefix(room)[0].isdigit():
            first, dot, rest = path.removeprefix(room).partition(".")
            return _PARAMS.get(first, first) + dot + rest
    return path
