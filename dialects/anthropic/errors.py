"""Errors as Anthropic's clients know them: an envelope of their own, the type by the status."""

from dialects.anthropic.answers import AnthropicError
from tasks import errors
from tasks.jobs.view import JobView

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
# Where Anthropic has another status than we have elsewhere.
_STATUS = {422: 400}
# What our paths are called here.
_PARAMS = {
    "turns": "messages",
    "shape": "output_config.format",
    "stop": "stop_sequences",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}
# How a line of a batch, or a call, is answered whose job failed by what was asked.
_THE_REQUESTS = frozenset(
    {errors.ContextLengthExceeded.code, errors.EngineRefused.code, errors.SchemaRefused.code, errors.ModelRemoved.code}
)


def of(type_: str, message: str, request_id: str | None = None) -> AnthropicError:
    return {"type": "error", "error": {"type": type_, "message": message}, "request_id": request_id}


def told(
    status: int, code: str, message: str, param: str | None, request_id: str | None = None
) -> tuple[int, AnthropicError]:
    """An error of ours in Anthropic's words: its status, and its body."""
    status = 404 if code == errors.ModelUnknown.code else _STATUS.get(status, status)
    return status, of(type_of(status), f"{named(param)}: {message}" if param else message, request_id)


def type_of(status: int) -> str:
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def failed(job: JobView) -> AnthropicError:
    """Why the job came to nothing."""
    error = job.error or {"code": "", "message": f"the job was {job.status}"}
    type_ = "invalid_request_error" if error["code"] in _THE_REQUESTS else "api_error"
    return of("timeout_error" if error["code"] == errors.DeadlineExceeded.code else type_, error["message"])


def named(path: str) -> str:
    """What Anthropic calls a field of ours, as in `params.top_p`."""
    for room in ("input.", "params."):
        path = path.removeprefix(room)
    first, dot, rest = path.partition(".")
    return _PARAMS.get(first, first) + dot + rest
