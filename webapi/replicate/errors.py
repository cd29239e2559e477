"""Errors as Replicate tells them: problems (RFC 7807)."""

from http import HTTPStatus
from typing import Any

from flask import Response, request

from tasks import errors
from webapi.api import Blueprint, reply
from webapi.replicate.answers import Problem

MIMETYPE = "application/problem+json"


def register(blueprint: Blueprint) -> None:
    """Has all that goes wrong in these routes told so."""
    blueprint.tells = _told
    blueprint.error = Problem, MIMETYPE


def _told(status: int, code: str, message: str, param: str | None, details: dict[str, Any] | None) -> Response:
    del details
    if code == errors.ModelUnknown.code:
        status = 404
    field = param and _named(param)
    problem: Problem = {
        "type": f"urn:forebay:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": f"{field}: {message}" if field else message,
        "instance": request.path,
    }
    if field:
        problem["invalid_fields"] = [{"type": code, "field": field, "description": message}]
    response = reply(problem, status)
    response.mimetype = MIMETYPE
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _named(path: str) -> str:
    """What a path of ours, as `params.top_p`, is called here: all that a model reads is its input."""
    if path == "webhook.url":
        return "webhook"
    return f"input.{path.removeprefix('params.')}" if path.startswith("params.") else path
