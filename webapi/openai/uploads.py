"""`/v1/uploads`: files that come in parts."""

from contextlib import nullcontext
from typing import Any

from flask import Response

from dialects.named import UPLOAD
from dialects.openai.render import files as rendered
from dialects.openai.render.files import OpenAIUpload, UploadPart
from tasks.files import uploads
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.openai import errors, receiving
from webapi.openai.requests import files as requests

blueprint = Blueprint("uploads", __name__, description="OpenAI's uploads: files that come in parts.")
errors.register(blueprint)

_EXAMPLE = {"filename": "one.jsonl", "purpose": "batch", "bytes": 2048, "mime_type": "application/jsonl"}


@blueprint.route("/v1/uploads", methods=["POST"])
@blueprint.takes(Limits(lambda own: 64 * 1024, values=100))  # noqa: ARG005 whatever the settings say
@blueprint.arguments(requests.UploadRequest, example=_EXAMPLE)
@blueprint.response(200, OpenAIUpload)
@blueprint.answers(400, 401, 409, 413, 415, 500, 503)
def create(given: dict[str, Any]) -> Response:
    """Begin an upload

    It may be completed for an hour. 409 where a tenant couldn't keep as many bytes.
    """
    serving, wish = service.current(), requests.wish(given["filename"], given)
    with serving.sessions.begin() as session:
        made = uploads.create(
            session,
            auth.caller(),
            wish,
            size=given["bytes"],
            mime_type=given["mime_type"],
            most=serving.settings.max_kept_file_bytes,
        )
    return reply(rendered.upload(made))


@blueprint.route("/v1/uploads/<upload_id>/parts", methods=["POST"], parameters=[UPLOAD.in_path])
@blueprint.takes(receiving.LIMITS)
@blueprint.doc(requestBody=requests.PART_BODY)
@blueprint.response(200, UploadPart)
@blueprint.answers(400, 401, 404, 409, 413, 415, 500, 503)
def add_part(upload_id: str) -> Response:
    """Send a part

    In whatever order, and several at a time. 409 once the upload has ended, and where a tenant keeps as many bytes as
    it may.
    """
    serving, caller = service.current(), auth.caller()
    with UPLOAD.sought(upload_id) as id:
        with serving.sessions.begin() as session:
            uploads.require_pending(session, caller, id)
        with receiving.received("data", upload_id=id) as (_, _, part), serving.sessions.begin() as session:
            made = uploads.add_part(session, caller, id, receiving.there(part))
    return reply(rendered.part(made))


@blueprint.route("/v1/uploads/<upload_id>/complete", methods=["POST"], parameters=[UPLOAD.in_path])
@blueprint.takes(Limits(lambda own: own.max_body_bytes, values=uploads.MAX_PARTS + 100))
@blueprint.arguments(requests.CompleteUpload, example={"part_ids": ["part_0192f0c1d2e37f4f8a5b6c7d8e9f0a1b"]})
@blueprint.response(200, OpenAIUpload)
@blueprint.answers(400, 401, 404, 409, 413, 415, 500, 503)
def complete(given: dict[str, Any], upload_id: str) -> Response:
    """Complete an upload

    Its parts in the order of `part_ids` are the file; the others are erased. 409 where it has ended in another way.
    """
    serving, caller, md5 = service.current(), auth.caller(), given.get("md5")
    serving.rest()  # while the store is asked; reading it all holds a thread for long
    reading = nullcontext() if md5 is None else serving.readers.held(caller.tenant_id)
    with UPLOAD.sought(upload_id) as id, reading:
        done = uploads.complete(serving.stores, caller, id, given["part_ids"], md5)
    return reply(rendered.upload(done))


@blueprint.route("/v1/uploads/<upload_id>/cancel", methods=["POST"], parameters=[UPLOAD.in_path])
@blueprint.response(200, OpenAIUpload)
@blueprint.answers(401, 404, 409, 500, 503)
def cancel(upload_id: str) -> Response:
    """Cancel an upload

    Its parts are erased. 409 where it has ended in another way.
    """
    serving = service.current()
    serving.rest()  # while the store is asked
    with UPLOAD.sought(upload_id) as id:
        done = uploads.cancel(serving.stores, auth.caller(), id)
    return reply(rendered.upload(done))
