"""Reranking over HTTP: documents read with a query by a job like any other, which is waited for."""

from typing import Any

from flask import Response

from tasks.jobs.requests import Submission
from tasks.kinds.rerank import Reranking
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.v1.rerank import answers, asking, requests

blueprint = Blueprint("rerank", __name__, description="Which documents answer a query best.")

WAIT_S = 60.0


@blueprint.route("/v1/rerank", methods=["POST"])
@blueprint.takes(Limits(lambda own: own.max_body_bytes, values=5_000))  # 1,000 documents as objects are some 2,000
@blueprint.arguments(
    requests.RerankCall,
    example={"query": "Where is the lamp?", "documents": ["The lamp is in the kitchen.", "Oscar likes honey."]},
)
@blueprint.response(200, answers.Reranked)
@blueprint.answers(400, 401, 413, 415, 422, 500, 503)
def rerank(given: dict[str, Any]) -> Response:
    """Have documents reranked for a query

    Each is read together with the query by a model of the type `rerank`; the best come first. 503 when that takes
    longer than a minute. It is a job, listed and charged like any other; `POST /v1/jobs` with the type `rerank` doesn't
    wait for it.
    """
    documents = tuple(given["documents"])
    request = Reranking(given["query"], documents, given.get("top_n"), given.get("truncation", False))
    model = asking.served(given.get("model"))
    job = asking.answered(Submission("rerank", model.name, request), model, WAIT_S)
    return reply(answers.reranked(job, documents if given.get("return_documents") else None))
