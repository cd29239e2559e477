"""What reranking answers, as Jina's clients read it."""

from collections.abc import Sequence
from typing import Annotated, Literal, NotRequired, TypedDict

from tasks.jobs.view import JobView


class RerankedDocument(TypedDict):
    text: str


class RerankResult(TypedDict):
    """One document, and how well it answers the query."""

    index: Annotated[int, "Its place in the request, from 0."]
    relevance_score: Annotated[float, "0 to 1, the model's logit put through a sigmoid."]
    document: NotRequired[RerankedDocument]


class RerankUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int


class Reranked(TypedDict):
    """The documents, the best first."""

    model: str
    object: Literal["list"]
    usage: RerankUsage
    results: list[RerankResult]


def reranked(job: JobView, documents: Sequence[str] | None) -> Reranked:
    """The answer of a job that has succeeded; with `documents` their texts are shown too."""
    result = job.result or {}
    results = [RerankResult(index=row["index"], relevance_score=row["relevance_score"]) for row in result["results"]]
    if documents is not None:
        for row in results:
            row["document"] = {"text": documents[row["index"]]}
    usage: RerankUsage = {"prompt_tokens": result["tokens"], "total_tokens": result["tokens"]}
    return {"model": job.model, "object": "list", "usage": usage, "results": results}
