"""Search over HTTP: the question is embedded by a job like any other, which is waited for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from flask import Response
from numpy.typing import NDArray

from tasks import errors, kinds
from tasks.documents import filters, ranking, reranking
from tasks.documents.ranking import SearchTarget
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Submission
from tasks.kinds import embed
from tasks.kinds.embed import Embedding
from tasks.models import choosing
from tasks.models.catalog import Model
from tasks.queues import capacity
from webapi import auth, presence, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.v1.rerank import asking
from webapi.v1.search import answers, requests

blueprint = Blueprint("search", __name__, description="What documents say about something.")

WAIT_S = 10.0
_TOP_K = 10


@blueprint.route("/v1/search", methods=["POST"])
@blueprint.takes(Limits(lambda own: own.max_body_bytes, values=1_000))
@blueprint.arguments(
    requests.SearchRequest, example={"collection": "default", "query": "What is the code of the harbour?"}
)
@blueprint.response(200, answers.SearchResults)
@blueprint.answers(400, 401, 404, 413, 415, 422, 500, 503)
def search(given: dict[str, Any]) -> Response:
    """Search a collection

    Ranked by meaning and by words together, the best first; 503 when the embedding model takes longer than ten seconds.
    The query is embedded by a job of its own, listed and charged like any other, with the metadata `{"for": "search"}`.
    `score` is in that order, and between 0 and 1 for any query.
    With `rerank` another one has the best thirty, or `top_k` if that is more, read with the query, and `score` is how
    well each answers it; 503 when that takes longer than ten seconds.
    """
    caller, name, queries = auth.caller(), given["collection"], given["query"]
    with service.current().sessions.begin() as session:
        collection = ranking.collection_of(session, caller, name)
    if collection.dimensions is None:
        return reply({"object": "list", "results": []})
    reranker = asking.wanted(given.get("rerank", False))
    vectors = _embedded(_model(collection, queries), queries)
    top_k = given.get("top_k", _TOP_K)
    options: dict[str, Any] = {
        "model": collection.model,
        "top_k": reranking.candidates(top_k) if reranker else top_k,
        "threshold": given.get("threshold"),
        "filter": filters.parse(given["filter"]) if "filter" in given else None,
        "neighbours": given.get("neighbours", 0),
    }
    try:
        with service.current().sessions.begin() as session:
            found = ranking.search(session, caller.tenant_id, name, queries, vectors, **options)
    except errors.CollectionGone as error:
        raise errors.Unavailable(f"{error}; try again") from error
    except errors.DimensionsDiffer as error:
        raise errors.InvalidField("collection", f"{error}; it must be ingested anew") from error
    results = [passage.as_json() for passage in found]
    if reranker and results:
        results = asking.reordered(results, "\n".join(queries), reranker, top_k, WAIT_S)
    return reply({"object": "list", "results": results})


def _model(collection: SearchTarget, queries: Sequence[str]) -> Model:
    """The collection's model. Raises `ModelUnknown`, `PromptTooLong`, and `Unavailable` when nobody serves it now."""
    serving = service.current()
    model = serving.catalog.get(collection.model)
    if model is None:
        raise errors.ModelUnknown("collection", f"its model {collection.model!r} is no longer served")
    for query in queries:
        choosing.refuse_what_cannot_fit(model, "query", query)
    with serving.sessions.begin() as session:
        if not capacity.strength(session, model.name, serving.settings.shared.lease_s).workers:
            raise errors.Unavailable(f"no worker of {model.name} is there to embed the query; try again")
    return model


def _embedded(model: Model, queries: Sequence[str]) -> NDArray[np.float32]:
    """The queries' vectors, (n, d). Raises `Unavailable` when it doesn't come in time, `PromptTooLong`."""
    serving = service.current()
    serving.end_turn()
    with serving.searches.held(auth.caller().tenant_id):
        asked = Submission("embed", model.name, Embedding(tuple(queries), "query"), metadata={"for": "search"})
        try:
            ended = serving.desk.answer(
                auth.caller(),
                lambda session: kinds.plan(session, {model.name: model}, auth.caller(), asked),
                WAIT_S,
                presence.has_left,
            )
        except errors.NotInTime as error:
            told = f"{model.name} didn't embed the query within {WAIT_S:g} seconds; try again"
            raise errors.Unavailable(told) from error
    if ended.status == Status.SUCCEEDED:
        with serving.sessions.begin() as session:
            return np.array(embed.vectors(session, ended.id))
    why = ended.error or {"code": ended.status, "message": "the job that embeds the query was cancelled"}
    if why["code"] == errors.ContextLengthExceeded.code:
        raise errors.PromptTooLong("query", why["message"])
    raise errors.Unavailable(f"the query couldn't be embedded: {why['message']}")
