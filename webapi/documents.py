"""Documents over HTTP: brought, looked at, listed, deleted; and their collections."""

import hashlib
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Request, Response, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import UnsupportedMediaType

from tasks import errors, ids, times
from tasks.documents import ingest, library
from tasks.documents.ingest import NewDocument
from tasks.documents.library import Collection
from tasks.doors import idempotency
from tasks.errors import InvalidField
from tasks.jobs.requests import Plan
from webapi import auth, body, multipart, schemas, service
from webapi import document_schemas as own
from webapi.api import Blueprint, load, reply
from webapi.fields import TIMES, IdempotencyHeader, timing_of
from webapi.jobs import REPLAYED, accept, named_webhook, wanted_once

blueprint = Blueprint("documents", __name__, description="Texts and files to be searched and asked about.")

_LOCATION = {"Location": {"description": "The job that ingests them.", "schema": {"type": "string"}}}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/IngestRequest"},
            "example": own.INGEST_EXAMPLE,
        },
        "multipart/form-data": {"schema": own.UPLOAD},
    },
}
_TEXTS = ("collection", "title", "metadata", "model", "lane", "priority", "webhook", *TIMES)
_OBJECTS = ("metadata", "webhook")
_NUMBERS = ("priority", "max_queue_s", "deadline_s")

# A request as its schema read it, and its documents.
Brought = tuple[dict[str, Any], list[NewDocument]]


@blueprint.route("/v1/documents", methods=["POST"])
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.doc(requestBody=_BODY)
@blueprint.response(202, schemas.Job, headers=_LOCATION | REPLAYED, description="Accepted: they will not be lost.")
@blueprint.answers(400, 401, 413, 414, 415, 422, 500, 503)
def bring(headers: dict[str, str]) -> Response:
    """Bring documents into a collection

    Texts as JSON, or files as a form. The answer is the job that cuts them into chunks and embeds those.
    """
    with _brought(request) as (given, new):
        about = {name: value for name, value in given.items() if name != "documents"}
        wanted = wanted_once(headers, "documents", about, [_digest(document) for document in new])
        return accept(wanted, lambda session: _ingest(session, given, new))


def _ingest(session: Session, given: dict[str, Any], new: list[NewDocument]) -> Plan:
    return ingest.ingest(
        session,
        service.current().catalog,
        auth.caller(),
        given["collection"],
        given.get("model"),
        new,
        given.get("lane", "interactive"),
        given.get("priority", 5),
        {},
        timing_of(given),
        named_webhook(session, given),
    )


@blueprint.route("/v1/documents", methods=["GET"])
@blueprint.arguments(own.DocumentsQuery, location="query")
@blueprint.response(200, own.DocumentList)
@blueprint.answers(401, 404, 414, 422, 500, 503)
def browse(query: dict[str, Any]) -> Response:
    """List documents, newest first"""
    before = ids.parse(query.pop("after", ""), ids.DOCUMENT)
    with service.current().sessions.begin() as session:
        found, more = library.page(session, auth.caller(), before=before, **query)
    cursor = ids.show(found[-1].id, ids.DOCUMENT) if more else None
    return reply({"object": "list", "data": [document.as_json() for document in found], "next": cursor})


@blueprint.route("/v1/documents/<document_id>", methods=["GET"], parameters=[own.DOCUMENT_ID_IN_PATH])
@blueprint.response(200, own.Document)
@blueprint.answers(401, 404, 500, 503)
def show(document_id: str) -> Response:
    """Look at a document"""
    with service.current().sessions.begin() as session:
        found = library.get(session, auth.caller(), _parse_id(document_id))
    return reply(found.as_json())


@blueprint.route("/v1/documents/<document_id>", methods=["DELETE"], parameters=[own.DOCUMENT_ID_IN_PATH])
@blueprint.response(204, description="It is gone, and can't be found any more.")
@blueprint.answers(401, 404, 500, 503)
def delete(document_id: str) -> Response:
    """Delete a document"""
    with service.current().sessions.begin() as session:
        library.delete(session, auth.caller(), _parse_id(document_id))
    return Response(status=204)


@blueprint.route("/v1/collections", methods=["GET"])
@blueprint.arguments(own.CollectionsQuery, location="query")
@blueprint.response(200, own.CollectionList)
@blueprint.answers(401, 414, 422, 500, 503)
def browse_collections(query: dict[str, Any]) -> Response:
    """List collections by name"""
    with service.current().sessions.begin() as session:
        found, more = library.collections(session, auth.caller(), **query)
    data = [_collection(collection) for collection in found]
    return reply({"object": "list", "data": data, "next": found[-1].name if more else None})


@blueprint.route("/v1/collections/<name>", methods=["GET"], parameters=[own.NAME_IN_PATH])
@blueprint.response(200, own.Collection)
@blueprint.answers(401, 404, 500, 503)
def show_collection(name: str) -> Response:
    """Look at a collection"""
    with service.current().sessions.begin() as session:
        found = library.collection(session, auth.caller(), _checked(name))
    return reply(_collection(found))


@blueprint.route("/v1/collections/<name>", methods=["DELETE"], parameters=[own.NAME_IN_PATH])
@blueprint.response(204, description="It is gone, with all its documents.")
@blueprint.answers(401, 404, 500, 503)
def delete_collection(name: str) -> Response:
    """Delete a collection with all its documents"""
    with service.current().sessions.begin() as session:
        library.delete_collection(session, auth.caller(), _checked(name))
    return Response(status=204)


@contextmanager
def _brought(request: Request) -> Iterator[Brought]:
    """What the request brings. Its body is read first and taken into memory then: its client may be slow."""
    request.max_content_length = service.current().settings.max_upload_bytes
    boundary = request.mimetype_params.get("boundary", "") if request.mimetype == "multipart/form-data" else None
    if boundary is None and not body.is_json(request):
        raise UnsupportedMediaType("the body must be application/json in UTF-8, or multipart/form-data")
    with body.spooled(request) as spool:
        if boundary is None:
            given = load(own.IngestRequest(), body.parse(spool.read()))
            yield given, [_text(document) for document in given["documents"]]
        else:
            form = multipart.read(spool, boundary, texts=_TEXTS, files="file", max_files=own.MAX_FILES)
            given = load(own.UploadFields(), _fields(form.texts))
            yield given, _files(form.files, given)


def _text(given: dict[str, Any]) -> NewDocument:
    about = given.get("title"), None, given.get("metadata", {})
    return NewDocument(given["text"], None, "text", *about)


def _files(uploads: list[multipart.Upload], given: dict[str, Any]) -> list[NewDocument]:
    if not uploads:
        raise InvalidField("file", "Missing data for required field.")
    return [_file(upload, given) for upload in uploads]


def _file(upload: multipart.Upload, given: dict[str, Any]) -> NewDocument:
    _, dot, suffix = upload.filename.rpartition(".")
    kind = own.SUFFIXES.get(f"{dot}{suffix.lower()}")
    if kind is None:
        raise InvalidField("file", f"{upload.filename!r}: must end in one of {' '.join(own.SUFFIXES)}")
    if not upload.raw:
        raise InvalidField("file", f"{upload.filename!r}: must not be empty")
    return NewDocument(None, upload.raw, kind, given.get("title"), upload.filename, given.get("metadata", {}))


def _fields(texts: dict[str, str]) -> dict[str, Any]:
    """The text fields as a JSON body would have them."""
    given: dict[str, Any] = dict(texts)
    for name in given.keys() & set(_OBJECTS):
        given[name] = body.parse(texts[name].encode(), where=(name,))
    for name in _NUMBERS:
        if re.fullmatch("[0-9]{1,9}", texts.get(name, "")):
            given[name] = int(texts[name])
    return given


def _digest(new: NewDocument) -> str:
    """Of what the document is beside what its request says of all."""
    contents = new.raw if new.raw is not None else (new.text or "").encode()
    return idempotency.fingerprint(hashlib.sha256(contents).hexdigest(), new.kind, new.title, new.filename).hex()


def _collection(found: Collection) -> dict[str, Any]:
    path = f"/v1/collections/{found.name}"
    return {
        "name": found.name,
        "object": "collection",
        "model": found.model,
        "dimensions": found.dimensions,
        "documents": found.documents,
        "chunks": found.chunks,
        "created_at": times.show(found.created_at),
        "links": {"self": path, "documents": f"/v1/documents?collection={found.name}"},
    }


def _parse_id(shown: str) -> uuid.UUID:
    """The id in a path. Raises `NotFound`, worded as for a document that isn't there."""
    document_id = ids.parse(shown, ids.DOCUMENT)
    if document_id is None:
        raise errors.NotFound(f"no document {shown[:64]}")
    return document_id


def _checked(name: str) -> str:
    """The name in a path. Raises `NotFound`, worded as for a collection that isn't there."""
    if not own.is_name(name):
        raise library.no_collection(name)
    return name
