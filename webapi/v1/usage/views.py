"""Usage over HTTP: what the tenant's jobs used."""

from typing import Any

from flask import Response

from tasks.limits import usage
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.v1.usage import answers, requests

blueprint = Blueprint("usage", __name__, description="What was used.")


@blueprint.route("/v1/usage", methods=["GET"])
@blueprint.arguments(requests.UsageQuery, location="query")
@blueprint.response(200, answers.UsageReport)
@blueprint.answers(401, 414, 422, 500, 503)
def show(query: dict[str, Any]) -> Response:
    """Add up what jobs used

    By the day in UTC on which they ended; this month's unless days are named. A job counts from the moment it has
    ended, also when it is erased later.
    """
    first, last = usage.span(query.get("first"), query.get("last"))
    by = query["group_by"]
    with service.current().sessions.begin() as session:
        used = usage.of(session, auth.caller(), first, last, by)
    return reply(answers.report(first, last, by, used))
