"""Collections over HTTP: made, listed, looked at, given another model, deleted."""

from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from dialects.fields import IdempotencyHeader, timing_of
from tasks import kinds
from tasks.documents import homes, library
from tasks.documents.homes import Shape
from tasks.documents.library import Collection
from tasks.jobs.requests import Plan, Submission
from tasks.jobs.view import JobObject
from tasks.kinds.reembed import Reembedding
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.v1.documents import answers, requests
from webapi.v1.jobs.accepting import REPLAYED, accept, named_webhook, wanted_once
from webapi.v1.paging import List, paged

blueprint = Blueprint("collections", __name__, description="Documents that are searched together.")

_LOCATION = {"Location": {"description": "The job that embeds them.", "schema": {"type": "string"}}}


@blueprint.route("/v1/collections", methods=["GET"])
@blueprint.arguments(requests.CollectionsQuery, location="query")
@blueprint.response(200, List[answers.Collection])
@blueprint.answers(401, 414, 422, 500, 503)
@paged(answers.collection, after=lambda collection: collection.name)
def browse(query: dict[str, Any]) -> tuple[list[Collection], bool]:
    """List collections by name"""
    with service.current().sessions.begin() as session:
        return library.collections(session, auth.caller(), **query)


@blueprint.route("/v1/collections", methods=["POST"])
@blueprint.takes(Limits(lambda own: own.max_body_bytes, values=200))
@blueprint.arguments(requests.NewCollection, example={"name": "manuals", "language": "german", "chunk_tokens": 256})
@blueprint.response(201, answers.Collection, description="It is there, made now or before.")
@blueprint.answers(400, 401, 413, 415, 422, 500, 503)
def make(given: dict[str, Any]) -> Response:
    """Make a collection

    Bringing documents makes one too. 422 where there is one of this name with another model, language or size of
    chunks.
    """
    serving = service.current()
    name, caller = given.pop("name"), auth.caller()
    with serving.sessions.begin() as session:
        homes.home(session, serving.catalog, caller.tenant_id, name, Shape(**given))
        found = library.collection(session, caller, name)
    return reply(answers.collection(found), 201)


@blueprint.route("/v1/collections/<name>", methods=["GET"], parameters=[requests.NAME_IN_PATH])
@blueprint.response(200, answers.Collection)
@blueprint.answers(401, 404, 500, 503)
def show(name: str) -> Response:
    """Look at a collection"""
    with service.current().sessions.begin() as session:
        found = library.collection(session, auth.caller(), _checked(name))
    return reply(answers.collection(found))


@blueprint.route("/v1/collections/<name>/model", methods=["POST"], parameters=[requests.NAME_IN_PATH])
@blueprint.takes(Limits(lambda own: own.max_body_bytes, values=200))
@blueprint.arguments(requests.ModelChange, example={"model": "embedder"})
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(202, JobObject, headers=_LOCATION | REPLAYED, description="Accepted: it will not be lost.")
@blueprint.answers(400, 401, 404, 409, 413, 414, 415, 422, 500, 503)
def change_model(given: dict[str, Any], headers: dict[str, str], name: str) -> Response:
    """Have a collection's documents embedded by another model

    The answer is the job that does it. The collection is searched as before, and takes documents, until all is
    embedded. If the job fails or is cancelled before that, all stays as it was; after that only old vectors are left,
    which another such job drops. 409 while another job is at it. 422 for a model whose context is
    shorter than the collection's chunks: none is ever cut.
    """
    _checked(name)
    return accept(wanted_once(headers, "model", name, given), lambda session: _change(session, name, given))


def _change(session: Session, name: str, given: dict[str, Any]) -> Plan:
    asked = Submission(
        type="reembed",
        model=given["model"],
        request=Reembedding(name),
        lane=given.get("lane", "interactive"),
        priority=given.get("priority", 5),
        timing=timing_of(given),
        webhook=named_webhook(session, given),
    )
    return kinds.plan(session, service.current().catalog, auth.caller(), asked)


@blueprint.route("/v1/collections/<name>", methods=["DELETE"], parameters=[requests.NAME_IN_PATH])
@blueprint.response(204, description="It is gone, with all its documents.")
@blueprint.answers(401, 404, 500, 503)
def delete(name: str) -> Response:
    """Delete a collection with all its documents"""
    with service.current().sessions.begin() as session:
        library.delete_collection(session, auth.caller(), _checked(name))
    return Response(status=204)


def _checked(name: str) -> str:
    """The name in a path. Raises `NotFound`, worded as for a collection that isn't there."""
    if not requests.is_name(name):
        raise library.no_collection(name)
    return name
