"""`/v1/vector_stores`."""

from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from dialects.named import VECTOR_STORE
from dialects.openai.render import vector_stores as rendered
from dialects.openai.render.vector_stores import (
    DeletedVectorStore,
    OpenAISearchPage,
    OpenAIVectorStore,
    OpenAIVectorStoreList,
)
from dialects.openai.requests import vector_stores as requests
from tasks import errors as domain
from tasks.documents import filters
from tasks.jobs.requests import Plan
from tasks.vectorstores import stores
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.openai import attaching, errors
from webapi.v1.rerank import asking
from webapi.v1.search import rewriting, searching
from webapi.v1.search.searching import Search

blueprint = Blueprint(
    "vector stores", __name__, description="OpenAI's vector stores: files that are searched together."
)
errors.register(blueprint)

_SMALL = Limits(lambda own: 64 * 1024, values=1_000)  # noqa: ARG005 whatever the settings say


@blueprint.route("/v1/vector_stores", methods=["POST"])
@blueprint.takes(_SMALL)
@blueprint.arguments(requests.VectorStoreRequest, example={"name": "Manuals", "metadata": {"of": "pumps"}})
@blueprint.response(200, OpenAIVectorStore)
@blueprint.answers(400, 401, 404, 413, 415, 500, 503)
def create(given: dict[str, Any]) -> Response:
    """Make a vector store

    Its files are read, cut and embedded by a job, as those that are attached later.
    """
    serving, caller, files = service.current(), auth.caller(), requests.several(given)
    if not files:
        with serving.sessions.begin() as session:
            store_id = stores.create(session, serving.catalog, caller, requests.wish(given))
    else:
        made = []

        def make(session: Session) -> Plan:
            made.append(stores.create(session, serving.catalog, caller, requests.wish(given)))
            return attaching.plan(session, made[-1], files)

        attaching.accepted(make, given)
        store_id = made[-1]
    with serving.sessions.begin() as session:
        found = stores.get(session, caller, store_id)
    return reply(rendered.store(found))


@blueprint.route("/v1/vector_stores", methods=["GET"])
@blueprint.arguments(requests.StoresQuery, location="query")
@blueprint.response(200, OpenAIVectorStoreList)
@blueprint.answers(400, 401, 414, 500, 503)
def browse(query: dict[str, Any]) -> Response:
    """List vector stores"""
    with service.current().sessions.begin() as session:
        found, more = stores.page(session, auth.caller(), requests.page(query))
    return reply(rendered.stores(found, more))


@blueprint.route("/v1/vector_stores/<vector_store_id>", methods=["GET"], parameters=[VECTOR_STORE.in_path])
@blueprint.response(200, OpenAIVectorStore)
@blueprint.answers(401, 404, 500, 503)
def show(vector_store_id: str) -> Response:
    """Look at a vector store"""
    with VECTOR_STORE.sought(vector_store_id) as id, service.current().sessions.begin() as session:
        found = stores.get(session, auth.caller(), id)
    return reply(rendered.store(found))


@blueprint.route("/v1/vector_stores/<vector_store_id>", methods=["POST"], parameters=[VECTOR_STORE.in_path])
@blueprint.takes(_SMALL)
@blueprint.arguments(requests.VectorStoreChange, example={"name": "Manuals of pumps"})
@blueprint.response(200, OpenAIVectorStore)
@blueprint.answers(400, 401, 404, 409, 413, 415, 500, 503)
def change(given: dict[str, Any], vector_store_id: str) -> Response:
    """Change a vector store

    409 once it has expired.
    """
    with VECTOR_STORE.sought(vector_store_id) as id, service.current().sessions.begin() as session:
        found = stores.change(session, auth.caller(), id, **requests.changes(given))
    return reply(rendered.store(found))


@blueprint.route("/v1/vector_stores/<vector_store_id>", methods=["DELETE"], parameters=[VECTOR_STORE.in_path])
@blueprint.response(200, DeletedVectorStore)
@blueprint.answers(401, 404, 500, 503)
def delete(vector_store_id: str) -> Response:
    """Delete a vector store

    Its files stay.
    """
    with VECTOR_STORE.sought(vector_store_id) as id:
        stores.delete(service.current().sessions, auth.caller(), id)
    answer: DeletedVectorStore = {"id": vector_store_id, "object": "vector_store.deleted", "deleted": True}
    return reply(answer)


@blueprint.route("/v1/vector_stores/<vector_store_id>/search", methods=["POST"], parameters=[VECTOR_STORE.in_path])
@blueprint.takes(Limits(lambda own: own.max_body_bytes, values=1_000))
@blueprint.arguments(requests.VectorStoreSearch, example={"query": "How heavy is the pump?", "max_num_results": 3})
@blueprint.response(200, OpenAISearchPage)
@blueprint.answers(400, 401, 404, 409, 413, 415, 500, 503)
def search(given: dict[str, Any], vector_store_id: str) -> Response:
    """Search a vector store

    By meaning and by words together, the best first; of several queries, a text's best score counts. With
    `rewrite_query` a model that chats says first what is looked for, if it does within five seconds. 409 once the store
    has expired; 503 when the embedding model takes longer than ten seconds.
    """
    caller, options = auth.caller(), given.get("ranking_options", {})
    with VECTOR_STORE.sought(vector_store_id) as id:
        with service.current().sessions.begin() as session:
            stores.require_alive(session, caller, id)
            stores.use(session, caller, [id])
        reranker, queries = _reranker(requests.ranker(options)), given["query"]
        # After all that is refused: a rewriting is charged.
        if given.get("rewrite_query") and searching.can_find(stores.collection_name(id), queries):
            queries = rewriting.rewritten(queries)
        found = searching.found(
            Search(
                collection=stores.collection_name(id),
                queries=queries,
                top_k=given.get("max_num_results", requests.RESULTS),
                threshold=options.get("score_threshold"),
                filter=filters.parse(given["filters"], fields=()) if "filters" in given else None,
                words_weight=requests.words_weight(options),
                reranker=reranker,
            )
        )
    return reply(rendered.results(queries, found))


def _reranker(name: str | None) -> Any:
    """The model of that name. Raises `InvalidField`, `Unavailable`."""
    if name is None:
        return None
    try:
        return asking.served(name)
    except domain.ModelUnknown as error:
        raise domain.InvalidField("ranking_options.ranker", str(error)) from error
