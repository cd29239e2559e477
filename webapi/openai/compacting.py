"""`/v1/responses/compact`."""

import uuid
from collections.abc import Sequence
from typing import Any

from flask import Response

from dialects.fields import IdempotencyHeader
from dialects.named import RESPONSE
from dialects.openai.render import compacting as rendered
from dialects.openai.render.compacting import CompactedResponse
from dialects.openai.requests import compacting as requests
from dialects.openai.requests.compacting import CompactRequest
from tasks import errors as domain
from tasks.jobs import responses
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.openai import creating, errors, headers
from webapi.openai.headers import Headers

blueprint = Blueprint("compacting", __name__, description="OpenAI's compaction: a conversation summed up, by a job.")
errors.register(blueprint)

LIMITS = Limits(lambda own: own.max_body_bytes, values=50_000)


@blueprint.route("/v1/responses/compact", methods=["POST"])
@blueprint.takes(LIMITS)
@blueprint.arguments(CompactRequest)
@blueprint.arguments(Headers, location="headers")
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, CompactedResponse)
@creating.documented(blueprint)
@blueprint.answers(400, 401, 404, 408, 409, 413, 414, 415, 500, 503)
def compact(given: dict[str, Any], said: dict[str, Any], once: dict[str, str]) -> Response:
    """Sum up what was said

    What users said, then the model's summary of all as an item, to be given to the next request in the place of it all.
    The summary is the model's words, and its content isn't encrypted. Where nothing was said, nothing is summed up.
    """
    wishes = headers.wishes(said, given.get("service_tier"))
    own = requests.given_items(given)
    asked = requests.submission(given, own, wishes)
    users = [*_before(asked.request.previous), *own]
    if not users:
        return reply(rendered.nothing())
    call = creating.begin(asked, given, once, wishes)
    return creating.answered(call, wishes, lambda job: rendered.compacted(job, users))


def _before(previous: uuid.UUID | None) -> Sequence[responses.Item]:
    """What was said until a response had been asked. Raises `PreviousResponseMissing`."""
    if previous is None:
        return ()
    try:
        with service.current().sessions.begin() as session:
            found = responses.get(session, auth.caller(), previous, with_before=True)
    except domain.NotFound as error:
        message = f"Previous response with id '{RESPONSE.show(previous)}' not found."
        raise domain.PreviousResponseMissing("previous_response_id", message) from error
    return [*found.before, *responses.inputs(found.job.id, found.items)]
