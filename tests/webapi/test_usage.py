"""What a tenant's jobs used, by the day, the model or the type."""

import datetime as dt
from typing import Any

import pytest
import redis
from sqlalchemy import text

from db.session import Sessions
from tasks import ids
from tasks.sweep import bookkeeping
from tests.webapi import byhand
from tests.webapi.conftest import Api

NOTHING = {"jobs": 0, "prompt_tokens": 0, "completion_tokens": 0, "embedding_tokens": 0, "cached_tokens": 0}


@pytest.fixture
def end(sessions: Sessions, client: redis.Redis) -> Any:
    def end(api: Api, words: int, **changes: Any) -> str:
        """A job that has ended with an answer of so many words, to a prompt of two."""
        job_id = str(api.submit(**changes)["id"])
        run = byhand.run(sessions, client, job_id, model=changes.get("model", "alpha"))
        run.say(*["word"] * words)
        run.succeed()
        return job_id

    return end


def told(api: Api, query: str = "") -> dict[str, Any]:
    response = api.get(f"/v1/usage{query}")
    assert response.status_code == 200, response.text
    return dict(response.json or {})


def used(jobs: int, completion: int, **of: str) -> dict[str, Any]:
    return {**of, **NOTHING, "jobs": jobs, "prompt_tokens": 2 * jobs, "completion_tokens": completion}


def test_usage_of_nothing_is_this_month_and_nothing(api: Api) -> None:
    today = dt.datetime.now(dt.UTC).date()
    answer = told(api)
    assert answer["object"] == "usage"
    assert answer["from"][-2:] == "01"
    assert dt.date.fromisoformat(answer["to"]) >= today
    assert (answer["group_by"], answer["data"], answer["total"]) == ("day", [], NOTHING)


def test_usage_is_summed_as_asked(api: Api, sessions: Sessions, end: Any) -> None:
    """The same whether it has been added up yet or not, and by whatever it is grouped; a job that waits isn't in it."""
    end(api, 1)
    end(api, 3, model="beta")
    job_id = end(api, 5)
    api.submit()
    with sessions.begin() as session:
        moved = text("UPDATE ledger SET ended_at = '2025-03-31T23:59:59.9Z' WHERE job_id = :id")
        session.execute(moved, {"id": ids.parse(job_id)})
    for _ in range(5):
        answers = {by: told(api, f"?from=2025-03-01&to=2025-04-01&group_by={by}") for by in ("day", "model", "type")}
        assert answers["day"]["data"] == [used(1, 5, day="2025-03-31")]
        assert answers["model"]["data"] == [used(1, 5, model="alpha")]
        assert answers["type"]["data"] == [used(1, 5, type="generate")]
        assert [answer["total"] for answer in answers.values()] == [used(1, 5)] * 3
        assert told(api, "?group_by=model")["data"] == [used(1, 1, model="alpha"), used(1, 3, model="beta")]
        assert told(api)["total"] == used(2, 4)
        with sessions.begin() as session:
            bookkeeping.add(session, margin_s=0)


def test_usage_is_ones_own(api: Api, theirs: Api, sessions: Sessions, end: Any) -> None:
    """Before and after it has been added up: nothing of another tenant's is in it."""
    end(api, 1)
    end(theirs, 5)
    for _ in range(5):
        assert (told(api)["total"], told(theirs)["total"]) == (used(1, 1), used(1, 5))
        with sessions.begin() as session:
            bookkeeping.add(session, margin_s=0)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("from=2025-02-30", "from"),
        ("from=2025-W01-1", "from"),
        ("to=1999-12-31", "to"),
        ("to=9999-12-31", "to"),
        ("from=2025-03-02&to=2025-03-01", "to"),
        ("from=2025-01-01&to=2026-01-02", "from"),
        ("from=2025-03-01T00:00:00Z", "from"),
        ("group_by=tenant", "group_by"),
        ("tenant=theirs", "tenant"),
    ],
)
def test_days_that_are_none_or_too_many_are_refused(api: Api, query: str, param: str) -> None:
    response = api.get(f"/v1/usage?{query}")
    assert (response.status_code, response.json["error"]["param"]) == (422, param)


def test_day_that_is_not_said_is_todays_or_its_months_first(api: Api) -> None:
    assert told(api, "?to=2025-03-17")["from"] == "2025-03-01"
    assert told(api, "?from=2999-12-31")["to"] == "2999-12-31"
    year = told(api, "?from=2024-01-01&to=2024-12-31")
    assert (year["from"], year["to"]) == ("2024-01-01", "2024-12-31")
