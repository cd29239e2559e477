"""`/v1/moderations`."""

from typing import Any

from flask import Response

from dialects.fields import IdempotencyHeader
from dialects.openai.render import moderations
from dialects.openai.requests.moderations import ModerationRequest, submission
from webapi.api import Blueprint
from webapi.openai import creating, errors, headers
from webapi.openai.chat import LIMITS
from webapi.openai.headers import Headers

blueprint = Blueprint("moderations", __name__, description="OpenAI's moderations, by a model that the catalogue names.")
errors.register(blueprint)


@blueprint.route("/v1/moderations", methods=["POST"])
@blueprint.takes(LIMITS)
@blueprint.arguments(ModerationRequest)
@blueprint.arguments(Headers, location="headers")
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, moderations.ModerationList)
@creating.documented(blueprint)
@blueprint.answers(400, 401, 404, 408, 409, 413, 414, 415, 500, 503)
def create(given: dict[str, Any], said: dict[str, Any], once: dict[str, str]) -> Response:
    """Have texts judged

    By a model that the catalogue has for `moderate`; 404 where it has none. How well it judges is the model's.
    """
    wishes = headers.wishes(said)
    asked = submission(given, wishes)
    call = creating.begin(asked, given, once, wishes, len(given["input"]) if len(given["input"]) > 1 else 0)
    return creating.answered(call, wishes, moderations.moderations)
