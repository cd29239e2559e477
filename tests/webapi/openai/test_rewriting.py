"""Queries of vector stores put in other words before they are looked for, with a worker's part done by hand."""

import socket
from collections.abc import Sequence
from typing import Any

import pytest
import redis
from sqlalchemy import text

from db.jobs import Job
from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.limits.spent import Spent
from tests import tables
from tests.webapi import byhand
from tests.webapi.conftest import Api
from tests.webapi.openai.test_vector_stores import made_store
from webapi.v1.search import rewriting


def filled_store(api: Api, sessions: Sessions) -> str:
    """One whose model is served, and that has had texts."""
    store = made_store(api)
    with sessions.begin() as session:
        session.execute(text("UPDATE collections SET dimensions = 4"))
    tables.worker(sessions, "w2", model="embedder")
    return store


@pytest.mark.parametrize(
    ("said", "looked_for"),
    [
        ("red lamp kitchen", "red lamp kitchen"),
        ("weather in Ghent tomorrow", "Could you tell me where the red lamp of the kitchen is?"),
        (None, "Could you tell me where the red lamp of the kitchen is?"),
    ],
)
def test_query_is_rewritten_where_a_model_says_it(
    api: Api,
    sessions: Sessions,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    said: str | None,
    looked_for: str,
) -> None:
    """What the model makes of it must be that query still; without a worker nobody is waited for."""
    monkeypatch.setattr(rewriting, "WAIT_S", 60.0)
    query = "Could you tell me where the red lamp of the kitchen is?"
    store = filled_store(api, sessions)

    def answer(job: Job) -> tuple[Sequence[Any], Outcome]:
        if job.type == "embed":
            return byhand.in_two_words(job)
        result = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return [], Outcome(Status.SUCCEEDED, Spent(2, 2), result)

    if said is not None:
        tables.worker(sessions, "w1", model="alpha")
    with byhand.working(sessions, client, answer) as jobs:
        told = api.post(f"{store}/search", json={"query": query, "rewrite_query": True})
        assert [job.type for job in jobs] == ["chat"] * (said is not None) + ["embed"]
        assert (told.status_code, told.json["search_query"]) == (200, [looked_for])
        assert api.post(f"{store}/search", json={"query": query}).json["search_query"] == [query]


def test_search_does_not_wait_for_long_until_its_query_is_rewritten(
    api: Api, sessions: Sessions, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is looked for as it is, and the job is cancelled."""
    monkeypatch.setattr(rewriting, "WAIT_S", 0.05)
    tables.worker(sessions, "w1", model="alpha")
    store = filled_store(api, sessions)
    with byhand.working(sessions, client, byhand.in_two_words, only="embed"):
        told = api.post(f"{store}/search", json={"query": ["one", "two"], "rewrite_query": True})
    assert (told.status_code, told.json["search_query"]) == (200, ["one", "two"])
    assert [job["status"] for job in api.get("/v1/jobs?type=chat").json["data"]] == ["cancelled"]


@pytest.mark.parametrize(
    ("missing", "options", "status"),
    [
        ("dimensions", {}, 200),
        (None, {"ranking_options": {"ranker": "nobody"}}, 400),
        (None, {"ranking_options": {"ranker": "reranker"}}, 503),
        ("worker", {}, 503),
    ],
)
def test_nothing_is_rewritten_for_a_search_that_finds_nothing_or_is_refused(
    api: Api, sessions: Sessions, monkeypatch: pytest.MonkeyPatch, missing: str | None, options: Any, status: int
) -> None:
    """It would cost the tenant what it takes to rewrite."""
    monkeypatch.setattr(rewriting, "WAIT_S", 0.05)
    tables.worker(sessions, "w1", model="alpha")
    store = made_store(api) if missing == "dimensions" else filled_store(api, sessions)
    if missing == "worker":
        tables.silence(sessions, "w2", 3600)
    told = api.post(f"{store}/search", json={"query": "one", "rewrite_query": True, **options})
    assert (told.status_code, api.get("/v1/jobs").json["data"]) == (status, [])


def test_nothing_is_rewritten_for_a_client_that_has_left(
    api: Api, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "WAIT_S", 60.0)
    tables.worker(sessions, "w1", model="alpha")
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        asked = {"query": ["one", "two"], "rewrite_query": True}
        api.post(f"{filled_store(api, sessions)}/search", json=asked, environ_overrides={"gunicorn.socket": ours})
    assert api.get("/v1/jobs?type=chat").json["data"] == []
