"""Documents over HTTP: brought, looked at, listed, deleted."""

from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from dialects.fields import IdempotencyHeader, timing_of
from dialects.named import DOCUMENT
from tasks import kinds
from tasks.documents import library
from tasks.documents.ingest import NewDocument
from tasks.documents.library import Chunk, Document
from tasks.jobs.requests import Plan, Submission
from tasks.jobs.view import JobObject
from tasks.kinds.ingest import Ingest
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.v1.documents import answers, requests
from webapi.v1.documents.bringing import brought
from webapi.v1.jobs.accepting import REPLAYED, accept, named_webhook, wanted_once
from webapi.v1.paging import List, paged

blueprint = Blueprint("documents", __name__, description="Texts and files to be searched and asked about.")

_LOCATION = {"Location": {"description": "The job that ingests them.", "schema": {"type": "string"}}}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/IngestRequest"},
            "example": requests.INGEST_EXAMPLE,
        },
        "multipart/form-data": {"schema": requests.UPLOAD},
    },
}


@blueprint.route("/v1/documents", methods=["POST"])
@blueprint.takes(Limits(lambda own: own.max_upload_bytes, values=20_000))
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.doc(requestBody=_BODY)
@blueprint.response(202, JobObject, headers=_LOCATION | REPLAYED, description="Accepted: they will not be lost.")
@blueprint.answers(400, 401, 413, 414, 415, 422, 500, 503)
def bring(headers: dict[str, str]) -> Response:
    """Bring documents into a collection

    Texts as JSON, or files as a form. The answer is the job that cuts them into chunks and embeds those.
    """
    with brought(request) as (given, new):
        about = {name: value for name, value in given.items() if name != "documents"}
        wanted = wanted_once(headers, "documents", about, [document.fingerprint for document in new])
        return accept(wanted, lambda session: _plan(session, given, new))


def _plan(session: Session, given: dict[str, Any], new: list[NewDocument]) -> Plan:
    asked = Submission(
        type="ingest",
        model=given.get("model"),
        request=Ingest(
            given["collection"],
            tuple(new),
            language=given.get("language"),
            chunk_tokens=given.get("chunk_tokens"),
            chunk_overlap=given.get("chunk_overlap"),
        ),
        lane=given.get("lane", "interactive"),
        priority=given.get("priority", 5),
        timing=timing_of(given),
        webhook=named_webhook(session, given),
    )
    return kinds.plan(session, service.current().catalog, auth.caller(), asked)


@blueprint.route("/v1/documents", methods=["GET"])
@blueprint.arguments(requests.DocumentsQuery, location="query")
@blueprint.response(200, List[answers.Document])
@blueprint.answers(401, 404, 414, 422, 500, 503)
@paged(answers.document, after=lambda document: DOCUMENT.show(document.id))
def browse(query: dict[str, Any]) -> tuple[list[Document], bool]:
    """List documents, newest first"""
    with service.current().sessions.begin() as session:
        return library.page(session, auth.caller(), **query)


@blueprint.route("/v1/documents/<document_id>", methods=["GET"], parameters=[DOCUMENT.in_path])
@blueprint.response(200, answers.Document)
@blueprint.answers(401, 404, 500, 503)
def show(document_id: str) -> Response:
    """Look at a document"""
    with service.current().sessions.begin() as session:
        found = library.get(session, auth.caller(), DOCUMENT.parse(document_id))
    return reply(answers.document(found))


@blueprint.route("/v1/documents/<document_id>/text", methods=["GET"], parameters=[DOCUMENT.in_path])
@blueprint.arguments(requests.TextQuery, location="query")
@blueprint.response(200, answers.DocumentText)
@blueprint.answers(401, 404, 409, 414, 422, 500, 503)
def text(query: dict[str, int], document_id: str) -> Response:
    """Read what was understood of a document

    Its text, or a part of it, with the headings, pages and tables that begin there. 409 unless it is ready.
    """
    with service.current().sessions.begin() as session:
        found = library.text(session, auth.caller(), DOCUMENT.parse(document_id), **query)
    return reply(answers.text(found))


@blueprint.route("/v1/documents/<document_id>/chunks", methods=["GET"], parameters=[DOCUMENT.in_path])
@blueprint.arguments(requests.ChunksQuery, location="query")
@blueprint.response(200, List[answers.DocumentChunk])
@blueprint.answers(401, 404, 409, 414, 422, 500, 503)
@paged(answers.chunk, after=lambda chunk: str(chunk.number))
def chunks(query: dict[str, int], document_id: str) -> tuple[list[Chunk], bool]:
    """List a document's chunks in order

    409 unless it is ready.
    """
    with service.current().sessions.begin() as session:
        return library.chunks(session, auth.caller(), DOCUMENT.parse(document_id), **query)


@blueprint.route("/v1/documents/<document_id>", methods=["DELETE"], parameters=[DOCUMENT.in_path])
@blueprint.response(204, description="It is gone, and can't be found any more.")
@blueprint.answers(401, 404, 500, 503)
def delete(document_id: str) -> Response:
    """Delete a document"""
    with service.current().sessions.begin() as session:
        library.delete(session, auth.caller(), DOCUMENT.parse(document_id))
    return Response(status=204)
