"""One error shape for everything that goes wrong, and the one that OpenAI's clients read:
{"error": {"message", "type", "param", "code"}}, with "details" where there is more to tell."""

from typing import Annotated, Any, NotRequired, TypedDict

from tasks import errors
from tasks.errors import ForebayError

# The status of each of our errors; a subclass stands before what it derives from.
STATUS: dict[type[ForebayError], int] = {
    errors.Malformed: 400,
    errors.LimitReached: 409,
    errors.InvalidField: 422,
    errors.Unauthorized: 401,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.ShareUsedUp: 429,
    errors.Unavailable: 503,
    ForebayError: 500,
}

# What kind of error a status is, in OpenAI's words; whatever else is below 500 is the request's.
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_REQUEST_TYPE, _SERVER_TYPE = "invalid_request_error", "server_error"


class ErrorDetail(TypedDict):
    message: Annotated[str, "Says it to people."]
    type: Annotated[str, {"enum": [_REQUEST_TYPE, *_TYPES.values(), _SERVER_TYPE]}, "The kind of error, by the status."]
    param: Annotated[str | None, "The path of what is wrong, as in `params.top_p`; null when it is no field."]
    code: Annotated[str, "Names the error for programs."]
    details: NotRequired[Annotated[dict[str, Any], "413: `max_bytes`, the most that a body of this route may have."]]


class Error(TypedDict):
    error: ErrorDetail


def of(status: int, code: str, message: str, param: str | None = None, details: dict[str, Any] | None = None) -> Error:
    """The error as clients are told it; `param` is the path of what is wrong, as in `params.top_p`."""
    error: ErrorDetail = {"message": message, "type": type_of(status), "param": param, "code": code}
    if details is not None:
        error["details"] = details
    return {"error": error}


def status_of(error: ForebayError) -> int:
    """The status with which the error is answered."""
    return next(status for kind, status in STATUS.items() if isinstance(error, kind))


def type_of(status: int) -> str:
    """What kind of error a status is, in OpenAI's words."""
    return _TYPES.get(status, _REQUEST_TYPE if status < 500 else _SERVER_TYPE)
