"""Queries of a search put in other words before they are looked for, by a model that chats, in jobs like any other."""

import time
from collections.abc import Sequence

from sqlalchemy.orm import Session

from tasks import errors, kinds
from tasks.documents import followups, questions
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Plan, Submission
from tasks.kinds.generation import Generation, Text, Turn
from tasks.kinds.sampling import Sampling
from tasks.models import choosing
from tasks.models.catalog import Model
from tasks.queues import capacity
from webapi import auth, presence, service

WAIT_S = 5.0  # for all queries of a request together


def rewritten(queries: Sequence[str]) -> list[str]:
    """What is to be looked for: each query as the model has it, or as it is where nobody serves a model that chats, it
    takes longer than `WAIT_S`, what the model makes of it can't be that query, or the client has left."""
    model, until = _served(), time.monotonic() + WAIT_S
    if model is None:
        return list(queries)
    serving = service.current()
    serving.end_turn()
    with serving.searches.held(auth.caller().tenant_id):
        return [_rewritten(model, query, until - time.monotonic()) for query in queries]


def _served() -> Model | None:
    """The catalogue's default for chats, where a worker serves it."""
    serving = service.current()
    try:
        model = choosing.model_for(serving.catalog, "chat", None)
    except errors.ModelUnknown:
        return None
    with serving.sessions.begin() as session:
        return model if capacity.strength(session, model.name, serving.settings.shared.lease_s).workers else None


def _rewritten(model: Model, query: str, wait_s: float) -> str:
    if wait_s <= 0 or presence.has_left():
        return query
    caller = auth.caller()
    turns = (Turn("user", (Text(questions.template("search_query").format(question=query)),)),)
    greedy = Generation(turns=turns, sampling=Sampling(temperature=0), max_tokens=followups.MAX_TOKENS)
    asked = Submission("chat", model.name, greedy, metadata={"for": "search"})

    def plan(session: Session) -> Plan:
        return kinds.plan(session, {model.name: model}, caller, asked)

    try:
        ended = service.current().desk.answer(caller, plan, wait_s, presence.has_left)
    except (errors.NotInTime, errors.InvalidField, errors.ShareUsedUp):
        return query
    if ended.status != Status.SUCCEEDED or ended.result is None:
        return query
    return followups.accepted(ended.result["message"]["content"], (), query) or query
