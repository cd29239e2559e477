"""Search over HTTP."""

from typing import Any

from flask import Response

from tasks.documents import filters
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.v1.rerank import asking
from webapi.v1.search import answers, requests, searching
from webapi.v1.search.searching import Search

blueprint = Blueprint("search", __name__, description="What documents say about something.")

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
    asked = Search(
        collection=given["collection"],
        queries=given["query"],
        top_k=given.get("top_k", _TOP_K),
        threshold=given.get("threshold"),
        filter=filters.parse(given["filter"]) if "filter" in given else None,
        neighbours=given.get("neighbours", 0),
        reranker=asking.wanted(given.get("rerank", False)),
    )
    return reply({"object": "list", "results": searching.found(asked)})
