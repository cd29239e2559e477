"""One error shape for everything that goes wrong, and the one that OpenAI's clients read:
{"error": {"message", "type", "param", "code"}}, with "details" where there is more to tell."""

import json
from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask, Response, current_app, request
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from db.session import told
from dialects import errors as shape
from tasks import errors
from tasks.errors import ForebayError
from webapi import service

log = structlog.get_logger(__name__)

# What werkzeug and Flask raise, by status.
_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_value",
    500: "internal",
}
_READ_ONLY = "25006"  # a standby, as after a failover
# What PostgreSQL says of a table, a column and a function that it doesn't have.
_MISSED = frozenset({"42P01", "42703", "42883"})
_MESSAGES = {404: "no such page", 413: "the body is too large", 500: "something went wrong here; it has been logged"}


def register(app: Flask) -> None:
    """Makes every failure of the app answer in the one shape. `HTTPException` is flask-smorest's to register."""
    app.register_error_handler(ForebayError, _ours)
    for error in (OperationalError, InterfaceError):
        app.register_error_handler(error, _database)
    app.register_error_handler(PoolTimeout, _no_connection)
    for refusal in (ProgrammingError, InternalError):
        app.register_error_handler(refusal, _refused)
    app.register_error_handler(Exception, _unforeseen)


# An error in a dialect's words: status, code, message, param, details.
Told = Callable[[int, str, str, str | None, dict[str, Any] | None], Response]


def tell(
    status: int, code: str, message: str, *, param: str | None = None, details: dict[str, Any] | None = None
) -> Response:
    """The error in the dialect of the route that is asked."""
    tells: Told | None = getattr(current_app.blueprints.get(request.blueprint or ""), "tells", None)
    if tells is not None:
        return tells(status, code, message, param, details)
    return answer(status, code, message, param=param, details=details)


def answer(
    status: int, code: str, message: str, *, param: str | None = None, details: dict[str, Any] | None = None
) -> Response:
    """The error as clients are told it; `param` is the path of what is wrong, as in `params.top_p`."""
    return response(status, shape.of(status, code, message, param, details))


def response(status: int, body: shape.Error) -> Response:
    """The error as it is sent."""
    made = Response(json.dumps(body), status, mimetype="application/json")
    if status == 401:
        made.headers["WWW-Authenticate"] = "Bearer"
    return made


def http(error: HTTPException) -> Response:
    """What werkzeug raised, in our shape."""
    status = error.code or 500
    code = _CODES.get(status, "bad_request" if status < 500 else "internal")
    message, details = _MESSAGES.get(status) or error.description or error.name, None
    if status == 413 and request.max_content_length:
        message = f"the body has more than {request.max_content_length} bytes"
        details = {"max_bytes": request.max_content_length}
    response = tell(status, code, message, details=details)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def _ours(error: ForebayError) -> Response:
    status = shape.status_of(error)
    if status == 500:
        return _unforeseen(error)
    response = tell(status, error.code, str(error), param=getattr(error, "field", None))
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _database(error: Exception) -> Response:
    log.warning("database_unreachable", error=told(error))
    return _ours(errors.Unavailable("the database can't be reached; try again"))


def _refused(error: ProgrammingError | InternalError) -> Response:
    """A statement that PostgreSQL refuses to run: a 503 when it takes no writes or has other tables than ours, else our
    own mistake, and a 500."""
    state = getattr(error.orig, "sqlstate", None)
    if state == _READ_ONLY:
        log.error("database_read_only", error=told(error))
        return _ours(errors.Unavailable("the database takes no writes; try again"))
    if state in _MISSED:
        tables = service.current().tables
        tables.doubt()
        try:
            tables.require()
        except errors.TablesUnfit as unfit:
            return _ours(unfit)
        except SQLAlchemyError as lost:
            return _database(lost)
    return _unforeseen(error)


def _no_connection(error: Exception) -> Response:
    log.warning("connections_used_up", error=told(error))
    return _ours(errors.Unavailable("all connections of this process to the database are in use; try again"))


def _unforeseen(error: Exception) -> Response:
    """The last resort: whatever nobody foresaw is logged here and told to nobody."""
    said = {"error": told(error)} if isinstance(error, DBAPIError) else {}
    log.error("unforeseen", kind=type(error).__name__, **said, where=_where(error))
    return tell(500, _CODES[500], _MESSAGES[500])


def _where(error: Exception) -> list[str]:
    """The calls that led here, without the error's text, which may quote what a client sent."""
    calls, trace = [], error.__traceback__
    while trace is not None:
        calls.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno} {trace.tb_frame.f_code.co_name}")
        trace = trace.tb_next
    return calls[-12:]
