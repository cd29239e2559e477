"""Queries of vector stores put in other words before they are looked for, with a worker's part done by hand."""

from typing import Any

import pytest
import redis

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
    store = made_store(api)

    def answer(_: Job) -> tuple[list[Any], Outcome]:
        result = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return [], Outcome(Status.SUCCEEDED, Spent(2, 2), result)

    if said is None:
        told = api.post(f"{store}/search", json={"query": query, "rewrite_query": True})
    else:
        tables.worker(sessions, "w1", model="alpha")
        with byhand.working(sessions, client, answer) as jobs:
            told = api.post(f"{store}/search", json={"query": query, "rewrite_query": True})
        assert [job.type for job in jobs] == ["chat"]
    assert (told.status_code, told.json["search_query"]) == (200, [looked_for])
    assert api.post(f"{store}/search", json={"query": query}).json["search_query"] == [query]


def test_search_does_not_wait_for_long_until_its_query_is_rewritten(
    api: Api, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is looked for as it is, and the job is cancelled."""
    monkeypatch.setattr(rewriting, "WAIT_S", 0.05)
    tables.worker(sessions, "w1", model="alpha")
    told = api.post(f"{made_store(api)}/search", json={"query": ["one", "two"], "rewrite_query": True})
    assert (told.status_code, told.json["search_query"]) == (200, ["one", "two"])
    assert [job["status"] for job in api.get("/v1/jobs?type=chat").json["data"]] == ["cancelled"]
