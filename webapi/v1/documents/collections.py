"""Collections over HTTP: listed, looked at, deleted."""

from typing import Any

from flask import Response

from tasks.documents import library
from tasks.documents.library import Collection
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.v1.documents import answers, requests
from webapi.v1.paging import List, paged

blueprint = Blueprint("collections", __name__, description="Documents that are searched together.")


@blueprint.route("/v1/collections", methods=["GET"])
@blueprint.arguments(requests.CollectionsQuery, location="query")
@blueprint.response(200, List[answers.Collection])
@blueprint.answers(401, 414, 422, 500, 503)
@paged(answers.collection, after=lambda collection: collection.name)
def browse(query: dict[str, Any]) -> tuple[list[Collection], bool]:
    """List collections by name"""
    with service.current().sessions.begin() as session:
        return library.collections(session, auth.caller(), **query)


@blueprint.route("/v1/collections/<name>", methods=["GET"], parameters=[requests.NAME_IN_PATH])
@blueprint.response(200, answers.Collection)
@blueprint.answers(401, 404, 500, 503)
def show(name: str) -> Response:
    """Look at a collection"""
    with service.current().sessions.begin() as session:
        found = library.collection(session, auth.caller(), _checked(name))
    return reply(answers.collection(found))


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
