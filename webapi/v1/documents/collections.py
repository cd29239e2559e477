"""Collections over HTTP: listed, looked at, deleted."""

from typing import Any

from flask import Response

from tasks import times
from tasks.documents import library
from tasks.documents.library import Collection
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.v1.documents import answers, requests

blueprint = Blueprint("collections", __name__, description="Documents that are searched together.")


@blueprint.route("/v1/collections", methods=["GET"])
@blueprint.arguments(requests.CollectionsQuery, location="query")
@blueprint.response(200, answers.CollectionList)
@blueprint.answers(401, 414, 422, 500, 503)
def browse(query: dict[str, Any]) -> Response:
    """List collections by name"""
    with service.current().sessions.begin() as session:
        found, more = library.collections(session, auth.caller(), **query)
    data = [_collection(collection) for collection in found]
    return reply({"object": "list", "data": data, "next": found[-1].name if more else None})


@blueprint.route("/v1/collections/<name>", methods=["GET"], parameters=[requests.NAME_IN_PATH])
@blueprint.response(200, answers.Collection)
@blueprint.answers(401, 404, 500, 503)
def show(name: str) -> Response:
    """Look at a collection"""
    with service.current().sessions.begin() as session:
        found = library.collection(session, auth.caller(), _checked(name))
    return reply(_collection(found))


@blueprint.route("/v1/collections/<name>", methods=["DELETE"], parameters=[requests.NAME_IN_PATH])
@blueprint.response(204, description="It is gone, with all its documents.")
@blueprint.answers(401, 404, 500, 503)
def delete(name: str) -> Response:
    """Delete a collection with all its documents"""
    with service.current().sessions.begin() as session:
        library.delete_collection(session, auth.caller(), _checked(name))
    return Response(status=204)


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


def _checked(name: str) -> str:
    """The name in a path. Raises `NotFound`, worded as for a collection that isn't there."""
    if not requests.is_name(name):
        raise library.no_collection(name)
    return name
