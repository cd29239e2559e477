"""`rerank`: how well each of some documents answers a query, and the best of them first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from tasks.jobs import stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds.kind import Kind
from tasks.models import choosing
from tasks.models.catalog import Catalog

MAX_DOCUMENTS = 1000

_FEW_DOCUMENTS = 32  # two batches of an engine's


@dataclass(frozen=True, slots=True)
class Reranking:
    """A query and the documents that may answer it; the best `top_n` are told, or all.

    Of a document that is too long its beginning is read where `truncation` says so, else the job fails.
    """

    query: str
    documents: tuple[str, ...]
    top_n: int | None = None
    truncation: bool = False

    def to_json(self) -> Stored:
        asked: dict[str, Any] = {"query": self.query, "documents": list(self.documents), "truncation": self.truncation}
        return Stored(asked if self.top_n is None else {**asked, "top_n": self.top_n}, {})


class RerankKind(Kind[Reranking]):
    name = "rerank"
    serves = "rerank"

    def parse(self, stored: Stored) -> Reranking:
        given = stored.input
        top_n, truncation = given.get("top_n"), given.get("truncation", False)
        return Reranking(given["query"], tuple(given["documents"]), top_n, truncation)

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Reranking]) -> Plan:
        del session, caller
        model, request = choosing.model_for(models, self.serves, asked.model), asked.request
        choosing.refuse_what_cannot_fit(model, "input.query", request.query)
        for number, document in enumerate(() if request.truncation else request.documents):
            choosing.refuse_what_cannot_fit(model, f"input.documents.{number}", request.query, document)
        stage = stages.RERANK if len(request.documents) <= _FEW_DOCUMENTS else stages.RERANK_MANY
        return Plan(asked, stage, model.name, model.name)


def result(ranks: Sequence[float], top_n: int | None, tokens: int) -> dict[str, Any]:
    """The job's result, of a logit for each document; of equals the earlier comes first."""
    places = sorted(range(len(ranks)), key=lambda place: (-ranks[place], place))[:top_n]
    return {
        "results": [{"index": place, "relevance_score": relevance(ranks[place])} for place in places],
        "tokens": tokens,
    }


def relevance(rank: float) -> float:
    """A logit as a number from 0 to 1."""
    score = 1 / (1 + math.exp(-rank)) if rank >= 0 else math.exp(rank) / (1 + math.exp(rank))
    return float(f"{score:.7g}")
