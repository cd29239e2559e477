"""`/v1/batches/check`: beyond OpenAI's."""

from typing import Any

from flask import Response

from dialects.openai.errors import Failed
from dialects.openai.render import batch_checks as rendered
from dialects.openai.render.batch_checks import BatchCheck
from dialects.openai.requests.batch_results import CheckBatch
from tasks import kinds
from tasks.batches import estimates
from tasks.batches.surveys import Survey
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Submission
from tasks.kinds import batch_check
from webapi import auth, calls, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.openai import errors, headers

blueprint = Blueprint("batch checks", __name__, description="Files of requests, looked at before they are run.")
errors.register(blueprint)

_LIMITS = Limits(lambda own: 64 * 1024, values=100)  # noqa: ARG005 whatever the settings say
_EXAMPLE = {"input_file_id": "file-0192f0c1d2e37f4f8a5b6c7d8e9f0a1b", "endpoint": "/v1/chat/completions"}


@blueprint.route("/v1/batches/check", methods=["POST"])
@blueprint.takes(_LIMITS)
@blueprint.arguments(CheckBatch, example=_EXAMPLE)
@blueprint.response(200, BatchCheck)
@blueprint.answers(400, 401, 404, 408, 409, 413, 415, 500, 503)
def check(given: dict[str, Any]) -> Response:
    """Look at a file of requests

    As a batch of it would, without running any: what is wrong, line by line; and about how many tokens, and how much
    time, it would take.
    """
    serving, caller = service.current(), auth.caller()
    request = batch_check.BatchCheck(given["endpoint"], given["input_file_id"])
    asked = Submission(batch_check.BatchCheckKind.name, None, request)
    told = {name: str(value) for name, value in given.items()}
    call = calls.begin(lambda session: kinds.plan(session, serving.catalog, caller, asked), told)
    job = calls.ended(call, headers.patience_s())
    if job.status != Status.SUCCEEDED or job.result is None:
        raise Failed(job)
    survey = Survey.from_json(job.result["survey"])
    with serving.sessions.begin() as session:
        models = estimates.of(session, survey, serving.settings.shared.lease_s)
    return reply(rendered.check(job.result, models))
