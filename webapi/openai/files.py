"""`/v1/files`."""

import hashlib
from typing import Any

from flask import Response

from dialects.fields import IdempotencyHeader
from dialects.named import FILE
from dialects.openai.render import files as rendered
from dialects.openai.render.files import DeletedFile, OpenAIFile, OpenAIFileList
from tasks.doors import idempotency
from tasks.files import files, keeping
from tasks.files.keeping import Part
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.openai import errors, receiving, sending
from webapi.openai.requests import files as requests
from webapi.v1.jobs.accepting import REPLAYED, wanted_once

blueprint = Blueprint("files", __name__, description="OpenAI's files: kept as they come, read by ranges.")
errors.register(blueprint)

_BYTES = {"type": "string", "format": "binary"}
_BINARY = "application/octet-stream"


@blueprint.route("/v1/files", methods=["POST"])
@blueprint.takes(receiving.LIMITS)
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.doc(requestBody=requests.FILE_BODY)
@blueprint.response(200, OpenAIFile, headers=REPLAYED)
@blueprint.answers(400, 401, 409, 413, 414, 415, 500, 503)
def create(headers: dict[str, str]) -> Response:
    """Send a file

    Its bytes are kept as they come; once this is answered they are on the disk. 409 where a tenant keeps as many bytes
    as it may, unless its key is of a file that is there.
    """
    serving, caller, digest = service.current(), auth.caller(), hashlib.sha256()
    heard = digest.update if "key" in headers else None
    with receiving.received("file", requests.TEXTS, requests.form, heard=heard) as (given, filename, part):
        wanted = wanted_once(headers, "files", given, filename, digest.hexdigest())
        with serving.sessions.begin() as session:
            wish = requests.wish(filename, given)
            made, replayed = idempotency.once(
                session, caller, wanted, lambda: files.add(session, caller, receiving.there(part), wish), files.get
            )
    response = reply(rendered.file(made))
    if replayed:
        if isinstance(part, Part):
            keeping.forsake(serving.stores, caller.tenant_id, part)
        response.headers["Idempotency-Replayed"] = "true"
    return response


@blueprint.route("/v1/files", methods=["GET"])
@blueprint.arguments(requests.FileListQuery, location="query")
@blueprint.response(200, OpenAIFileList)
@blueprint.answers(400, 401, 414, 500, 503)
def browse(query: dict[str, Any]) -> Response:
    """List files"""
    with service.current().sessions.begin() as session:
        found, more = files.page(session, auth.caller(), **query)
    return reply(rendered.listed(found, more))


@blueprint.route("/v1/files/<file_id>", methods=["GET"], parameters=[FILE.in_path])
@blueprint.response(200, OpenAIFile)
@blueprint.answers(401, 404, 500, 503)
def show(file_id: str) -> Response:
    """Look at a file"""
    with FILE.sought(file_id) as id, service.current().sessions.begin() as session:
        found = files.get(session, auth.caller(), id)
    return reply(rendered.file(found))


@blueprint.route("/v1/files/<file_id>/content", methods=["GET"], parameters=[FILE.in_path])
@blueprint.response(200, _BYTES, content_type=_BINARY)
@blueprint.alt_response(206, schema=_BYTES, content_type=_BINARY, description="The range that was asked for.")
@blueprint.alt_response(304, description="`If-None-Match` has its tag: a file's bytes never change.")
@blueprint.answers(401, 404, 416, 500, 503)
def content(file_id: str) -> Response:
    """Read a file's bytes

    All of them, or those that a `Range` asks for; of several ranges, all.
    """
    with FILE.sought(file_id) as id:
        found = files.content(service.current().stores, auth.caller(), id)
    return sending.sent(found)


@blueprint.route("/v1/files/<file_id>", methods=["DELETE"], parameters=[FILE.in_path])
@blueprint.response(200, DeletedFile)
@blueprint.answers(401, 404, 500, 503)
def delete(file_id: str) -> Response:
    """Delete a file

    It is gone at once. Its bytes are erased then, or soon where they are many or their store can't be reached.
    """
    serving = service.current()
    serving.rest()  # while the store is asked
    with FILE.sought(file_id) as id:
        files.delete(serving.stores, auth.caller(), id)
    answer: DeletedFile = {"id": file_id, "object": "file", "deleted": True}
    return reply(answer)
