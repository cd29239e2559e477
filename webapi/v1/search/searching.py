"""A search that its request waits for: the question is embedded by a job like any other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks import errors, kinds
from tasks.documents import ranking, reranking
from tasks.documents.filters import Filter
from tasks.documents.ranking import PassageObject, SearchTarget
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Submission
from tasks.kinds import embed
from tasks.kinds.embed import Embedding
from tasks.models import choosing
from tasks.models.catalog import Model
from tasks.queues import capacity
from tasks.vectorstores import stores
from webapi import auth, presence, service
from webapi.v1.rerank import asking

WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for in which collection, as `ranking.search` takes it; `reranker` puts the best into order."""

    collection: str
    queries: Sequence[str]
    top_k: int
    threshold: float | None = None
    filter: Filter | None = None
    neighbours: int = 0
    words_weight: float | None = None
    reranker: Model | None = None


def found(asked: Search) -> list[PassageObject]:
    """The passages, the best first. Raises `NotFound`, `ModelUnknown`, `PromptTooLong`, `InvalidField`, and
    `Unavailable` where it takes too long or nobody is there to embed the question."""
    caller, queries = auth.caller(), asked.queries
    collection = _target(asked.collection)
    if collection.dimensions is None:
        return []
    vectors = _embedded(_model(collection, queries), queries)
    try:
        with service.current().sessions.begin() as session:
            passages = ranking.search(
                session,
                caller.tenant_id,
                asked.collection,
                queries,
                vectors,
                model=collection.model,
                top_k=reranking.candidates(asked.top_k) if asked.reranker else asked.top_k,
                threshold=asked.threshold,
                filter=asked.filter,
                neighbours=asked.neighbours,
                words_weight=asked.words_weight,
            )
    except errors.CollectionGone as error:
        raise errors.Unavailable(f"{error}; try again") from error
    except errors.DimensionsDiffer as error:
        raise errors.InvalidField("collection", f"{error}; it must be ingested anew") from error
    results = [passage.as_json() for passage in passages]
    if asked.reranker and results:
        return asking.reordered(results, "\n".join(queries), asked.reranker, asked.top_k, WAIT_S)
    return results


def can_find(collection: str, queries: Sequence[str]) -> bool:
    """Whether anything is there to be found. Raises what `found` does before it has the queries embedded."""
    target = _target(collection)
    if target.dimensions is None:
        return False
    _model(target, queries)
    return True


def _target(name: str) -> SearchTarget:
    """The collection, which is searched now. Raises `NotFound`, and `InvalidField` of a store that has expired."""
    with service.current().sessions.begin() as session:
        target = ranking.collection_of(session, auth.caller(), name)
        try:
            stores.searched(session, auth.caller(), name)
        except errors.Conflict as error:
            raise errors.InvalidField("collection", str(error)) from error
    return target


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
