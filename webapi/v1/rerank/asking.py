"""A reranking that its request waits for: a job like any other."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from tasks import errors, kinds
from tasks.documents import reranking
from tasks.documents.ranking import PassageObject
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Plan, Submission
from tasks.jobs.view import JobView
from tasks.kinds.rerank import Reranking
from tasks.models import choosing
from tasks.models.catalog import Model
from tasks.queues import capacity
from webapi import auth, presence, service

_SEARCH = {"for": "search"}


def served(name: str | None) -> Model:
    """The model of that name, or the catalogue's default. Raises `ModelUnknown`, `Unavailable` if nobody serves it."""
    serving = service.current()
    try:
        model = choosing.model_for(serving.catalog, "rerank", name)
    except errors.ModelUnknown as error:
        raise errors.ModelUnknown("model", str(error)) from error
    with serving.sessions.begin() as session:
        if not capacity.strength(session, model.name, serving.settings.shared.lease_s).workers:
            raise errors.Unavailable(f"no worker of {model.name} is there to rerank; try again")
    return model


def wanted(rerank: bool | str) -> Model | None:
    """The model that is to rerank what a search finds, None for no. Raises `ModelUnknown`, `Unavailable`."""
    if rerank is False:
        return None
    try:
        return served(None if rerank is True else rerank)
    except errors.ModelUnknown as error:
        raise errors.ModelUnknown("rerank", str(error)) from error


def reordered(
    passages: Sequence[PassageObject], query: str, model: Model, top_k: int, wait_s: float
) -> list[PassageObject]:
    """The best `top_k` of the passages, by how well each answers the query. Raises what `answered` does."""
    texts = tuple(passage["text"] for passage in passages)
    asked = Submission("rerank", model.name, Reranking(query, texts, top_k, truncation=True), metadata=_SEARCH)
    try:
        ranked = answered(asked, model, wait_s).result
    except errors.PromptTooLong as error:
        raise errors.PromptTooLong("query", str(error)) from error
    assert ranked is not None
    return reranking.by_relevance(passages, ranked["results"])


def answered(asked: Submission[Reranking], model: Model, wait_s: float) -> JobView:
    """The job, which has succeeded. Raises `Unavailable` when it doesn't in time, and `PromptTooLong`."""
    serving, caller = service.current(), auth.caller()

    def plan(session: Session) -> Plan:
        return kinds.plan(session, {model.name: model}, caller, asked)

    serving.end_turn()
    with serving.searches.held(caller.tenant_id):
        try:
            ended = serving.desk.answer(caller, plan, wait_s, presence.has_left)
        except errors.PromptTooLong as error:
            raise errors.PromptTooLong((error.field or "").removeprefix("input."), str(error)) from error
        except errors.NotInTime as error:
            told = f"{model.name} didn't rerank within {wait_s:g} seconds; ask for fewer documents, or for a job"
            raise errors.Unavailable(told) from error
    if ended.status == Status.SUCCEEDED:
        return ended
    why = ended.error or {"code": ended.status, "message": "the job that reranks was cancelled"}
    if why["code"] == errors.ContextLengthExceeded.code:
        raise errors.PromptTooLong("documents", why["message"])
    raise errors.Unavailable(f"the documents couldn't be reranked: {why['message']}")
