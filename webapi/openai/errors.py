"""Errors as OpenAI's clients know them: its statuses and codes, and whether asking again would help."""

import time
from typing import Any

from flask import Response, g

from dialects.openai import errors as dialect
from webapi import errors as ours
from webapi.api import Blueprint

VERSION = "2020-10-01"  # of OpenAI's API, the only one there is
MOST_RETRY_AFTER_S = 120  # its clients don't ask again at all where they are told of more


def register(blueprint: Blueprint) -> None:
    """Has all that goes wrong in these routes told so, and all that goes well marked as OpenAI marks it."""
    blueprint.register_error_handler(dialect.Failed, _failed)
    blueprint.after_request(_marked)
    blueprint.tells, blueprint.wrong = _told, 400


def _told(status: int, code: str, message: str, param: str | None, details: dict[str, Any] | None) -> Response:
    status, body = dialect.told(status, code, message, param, details)
    response = ours.response(status, body)
    if status == 409:  # the client libraries would repeat it, and could never succeed
        response.headers["x-should-retry"] = "false"
    return response


def _failed(error: dialect.Failed) -> Response:
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
