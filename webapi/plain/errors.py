"""Errors in the one shape, with the names that fields have in these routes."""

from typing import Any

from flask import Response

from dialects.errors import type_of
from dialects.openai.errors import Failed
from tasks.jobs.view import JobView
from webapi import errors
from webapi.api import Blueprint

# What our paths are called here.
_PARAMS = {"question": "query", "top_k": "num_context_docs", "documents": "texts"}


def register(blueprint: Blueprint) -> None:
    """Has all that goes wrong in these routes told so."""
    blueprint.register_error_handler(Failed, _failed)
    blueprint.tells = _told


def of(job: JobView) -> dict[str, Any]:
    """How a job that didn't succeed is told within a stream."""
    failed = Failed(job)
    return within(failed.code, str(failed), failed.status)


def within(code: str, message: str, status: int = 500) -> dict[str, Any]:
    """An error within a stream."""
    return {"error": {"message": message, "type": type_of(status), "param": None, "code": code}}


def _failed(failed: Failed) -> Response:
    return errors.answer(failed.status, failed.code, str(failed))


def _told(status: int, code: str, message: str, param: str | None, details: dict[str, Any] | None) -> Response:
    return errors.answer(status, code, message, param=param and _named(param), details=details)


def _named(path: str) -> str:
    """What a path of ours, as `input.question`, is called here."""
    for room in ("input.", "params."):
        if path.startswith(room):
            path = _PARAMS.get(path.removeprefix(room), path.removeprefix(room))
    return path
