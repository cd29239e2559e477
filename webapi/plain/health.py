"""`GET /health`, as most servers of models have it."""

from typing import Literal, TypedDict

from flask import Response

from tasks import errors
from webapi import health
from webapi.api import Blueprint, reply

blueprint = Blueprint("probe", __name__, description="Whether requests are taken.")


class PlainHealth(TypedDict):
    status: Literal["ok", "unavailable"]


@blueprint.route("/health", methods=["GET"])
@blueprint.response(200, PlainHealth)
@blueprint.alt_response(503, schema=PlainHealth, description="Jobs can't be accepted; `/readyz` says which part fails.")
@blueprint.doc(security=[])
def show() -> Response:
    """Say whether jobs are accepted"""
    if health.accepts(health.found()):
        return reply({"status": "ok"})
    response = reply({"status": "unavailable"}, 503)
    response.headers["Retry-After"] = str(errors.Unavailable.retry_after_s)
    return response
