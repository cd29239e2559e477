"""Errors as Anthropic's clients know them, and whether asking again would help."""

from typing import Any

from flask import Response

from dialects.anthropic import errors as dialect
from dialects.anthropic.answers import AnthropicError
from dialects.openai.errors import Failed
from webapi import requestlog
from webapi.api import Blueprint, reply


def register(blueprint: Blueprint) -> None:
    """Has all that goes wrong in these routes told so, and every answer named by `request-id` too."""
    blueprint.register_error_handler(Failed, _failed)
    blueprint.after_request(_named)
    blueprint.tells, blueprint.wrong = _told, 400
    blueprint.error = AnthropicError, "application/json"


def _told(status: int, code: str, message: str, param: str | None, details: dict[str, Any] | None) -> Response:
    del details
    status, body = dialect.told(status, code, message, param, requestlog.request_id())
    response = reply(body, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status == 409:  # the client libraries would repeat it, and could never succeed
        response.headers["x-should-retry"] = "false"
    return response


def _failed(error: Failed) -> Response:
    response = _told(error.status, error.code, str(error), None, None)
    response.headers["x-should-retry"] = "true" if error.again else "false"
    return response


def _named(response: Response) -> Response:
    response.headers["request-id"] = requestlog.request_id()
    return response
