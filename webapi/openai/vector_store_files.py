"""`/v1/vector_stores/{id}/files` and `/file_batches`."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response

from dialects.named import FILE, FILE_BATCH, VECTOR_STORE, Named
from dialects.openai.render import vector_stores as rendered
from dialects.openai.render.vector_stores import (
    DeletedVectorStoreFile,
    OpenAIFileBatch,
    OpenAIFileContent,
    OpenAIVectorStoreFile,
    OpenAIVectorStoreFileList,
)
from dialects.openai.requests import vector_stores as requests
from tasks.documents.ingest import MAX_CHARACTERS
from tasks.errors import NotFound
from tasks.vectorstores import batches, files
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.openai import attaching, errors

blueprint = Blueprint("vector store files", __name__, description="Files in OpenAI's vector stores.")
errors.register(blueprint)

_STORE = "/v1/vector_stores/<vector_store_id>"
_IN_STORE = [VECTOR_STORE.in_path]
_FILE = [VECTOR_STORE.in_path, FILE.in_path]
_BATCH = [VECTOR_STORE.in_path, FILE_BATCH.in_path]
_SMALL = Limits(lambda own: 64 * 1024, values=100)  # noqa: ARG005 whatever the settings say
_EXAMPLE = "file-0192f0c1d2e37f4f8a5b6c7d8e9f0a1b"


@blueprint.route(f"{_STORE}/files", methods=["POST"], parameters=_IN_STORE)
@blueprint.takes(_SMALL)
@blueprint.arguments(requests.VectorStoreFileRequest, example={"file_id": _EXAMPLE, "attributes": {"year": 2026}})
@blueprint.response(200, OpenAIVectorStoreFile)
@blueprint.answers(400, 401, 404, 409, 413, 415, 500, 503)
def attach(given: dict[str, Any], vector_store_id: str) -> Response:
    """Attach a file to a vector store

    It is read, cut and embedded by a job. One that is there already and to be cut so stays as it is, completed or in
    progress, with the new attributes if any are given; any other is made anew.
    """
    with VECTOR_STORE.sought(vector_store_id) as id:
        found = attaching.one(id, requests.attached(given), given)
    return reply(rendered.file(found))


@blueprint.route(f"{_STORE}/files", methods=["GET"], parameters=_IN_STORE)
@blueprint.arguments(requests.FilesQuery, location="query")
@blueprint.response(200, OpenAIVectorStoreFileList)
@blueprint.answers(400, 401, 404, 414, 500, 503)
def browse(query: dict[str, Any], vector_store_id: str) -> Response:
    """List a vector store's files"""
    with VECTOR_STORE.sought(vector_store_id) as id, service.current().sessions.begin() as session:
        found, more = files.page(session, auth.caller(), id, requests.page(query), status=query.get("filter"))
    return reply(rendered.files(found, more))


@blueprint.route(f"{_STORE}/files/<file_id>", methods=["GET"], parameters=_FILE)
@blueprint.response(200, OpenAIVectorStoreFile)
@blueprint.answers(401, 404, 500, 503)
def show(vector_store_id: str, file_id: str) -> Response:
    """Look at a file in a vector store"""
    sought = _sought(vector_store_id, FILE, file_id)
    with sought as (store, file), service.current().sessions.begin() as session:
        found = files.get(session, auth.caller(), store, file)
    return reply(rendered.file(found))


@blueprint.route(f"{_STORE}/files/<file_id>", methods=["POST"], parameters=_FILE)
@blueprint.takes(_SMALL)
@blueprint.arguments(requests.VectorStoreFileAttributes, example={"attributes": {"year": 2026}})
@blueprint.response(200, OpenAIVectorStoreFile)
@blueprint.answers(400, 401, 404, 413, 415, 500, 503)
def note(given: dict[str, Any], vector_store_id: str, file_id: str) -> Response:
    """Give a file in a vector store other attributes"""
    sought = _sought(vector_store_id, FILE, file_id)
    with sought as (store, file), service.current().sessions.begin() as session:
        found = files.label(session, auth.caller(), store, file, given["attributes"] or {})
    return reply(rendered.file(found))


@blueprint.route(f"{_STORE}/files/<file_id>", methods=["DELETE"], parameters=_FILE)
@blueprint.response(200, DeletedVectorStoreFile)
@blueprint.answers(401, 404, 500, 503)
def detach(vector_store_id: str, file_id: str) -> Response:
    """Take a file out of a vector store

    It isn't found there any more. The file itself stays.
    """
    sought = _sought(vector_store_id, FILE, file_id)
    with sought as (store, file), service.current().sessions.begin() as session:
        files.remove(session, auth.caller(), store, file)
    answer: DeletedVectorStoreFile = {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}
    return reply(answer)


@blueprint.route(f"{_STORE}/files/<file_id>/content", methods=["GET"], parameters=_FILE)
@blueprint.response(200, OpenAIFileContent)
@blueprint.answers(401, 404, 409, 500, 503)
def content(vector_store_id: str, file_id: str) -> Response:
    """Read what was understood of a file in a vector store

    409 unless it is completed.
    """
    sought = _sought(vector_store_id, FILE, file_id)
    with sought as (store, file), service.current().sessions.begin() as session:
        text = files.text(session, auth.caller(), store, file, begins=0, limit=MAX_CHARACTERS)
    return reply(rendered.content(text.text))


@blueprint.route(f"{_STORE}/file_batches", methods=["POST"], parameters=_IN_STORE)
@blueprint.takes(Limits(lambda own: own.max_body_bytes, values=50 * batches.MAX_FILES))
@blueprint.arguments(requests.FileBatchRequest, example={"file_ids": [_EXAMPLE]})
@blueprint.response(200, OpenAIFileBatch)
@blueprint.answers(400, 401, 404, 409, 413, 415, 500, 503)
def attach_several(given: dict[str, Any], vector_store_id: str) -> Response:
    """Attach files to a vector store

    By one job, which the batch is: its id is the job's.
    """
    with VECTOR_STORE.sought(vector_store_id) as id:
        wanted = requests.several(given)
        job = attaching.accepted(lambda session: attaching.plan(session, id, wanted), given)
        with service.current().sessions.begin() as session:
            found = batches.get(session, auth.caller(), id, job.id)
    return reply(rendered.batch(found))


@blueprint.route(f"{_STORE}/file_batches/<file_batch_id>", methods=["GET"], parameters=_BATCH)
@blueprint.response(200, OpenAIFileBatch)
@blueprint.answers(401, 404, 500, 503)
def show_batch(vector_store_id: str, file_batch_id: str) -> Response:
    """Look at a batch of files"""
    sought = _sought(vector_store_id, FILE_BATCH, file_batch_id)
    with sought as (store, batch), service.current().sessions.begin() as session:
        found = batches.get(session, auth.caller(), store, batch)
    return reply(rendered.batch(found))


@blueprint.route(f"{_STORE}/file_batches/<file_batch_id>/cancel", methods=["POST"], parameters=_BATCH)
@blueprint.response(200, OpenAIFileBatch)
@blueprint.answers(401, 404, 500, 503)
def cancel_batch(vector_store_id: str, file_batch_id: str) -> Response:
    """Cancel a batch of files

    Those that are completed by now stay so.
    """
    serving, caller = service.current(), auth.caller()
    with _sought(vector_store_id, FILE_BATCH, file_batch_id) as (store, batch):
        with serving.sessions.begin() as session:
            batches.require(session, caller, store, batch)
        serving.desk.cancel(caller, batch)
        with serving.sessions.begin() as session:
            batches.cancelled(session, caller, batch)
            found = batches.get(session, caller, store, batch)
    return reply(rendered.batch(found))


@blueprint.route(f"{_STORE}/file_batches/<file_batch_id>/files", methods=["GET"], parameters=_BATCH)
@blueprint.arguments(requests.FilesQuery, location="query")
@blueprint.response(200, OpenAIVectorStoreFileList)
@blueprint.answers(400, 401, 404, 414, 500, 503)
def browse_batch(query: dict[str, Any], vector_store_id: str, file_batch_id: str) -> Response:
    """List a batch's files"""
    sought = _sought(vector_store_id, FILE_BATCH, file_batch_id)
    with sought as (store, batch), service.current().sessions.begin() as session:
        which = (auth.caller(), store, batch, requests.page(query))
        found, more = batches.page(session, *which, status=query.get("filter"))
    return reply(rendered.files(found, more))


@contextmanager
def _sought(store: str, named: Named, shown: str) -> Iterator[tuple[uuid.UUID, uuid.UUID]]:
    """The ids in a path, for a block that may not find them: `NotFound` is worded alike, whichever isn't there."""
    try:
        yield VECTOR_STORE.parse(store), named.parse(shown)
    except NotFound as error:
        raise NotFound(f"no {named.noun} {shown[:64]} in the vector store {store[:64]}") from error
