"""A job's times over HTTP: said, shown, refused; and its retries."""

import datetime as dt
import io
from typing import Any

import pytest
import redis

from db.session import Sessions
from tasks import ids
from tests import tables
from tests.webapi import byhand
from tests.webapi.conftest import Api


def ahead(**delta: float) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(**delta)).isoformat().replace("+00:00", "Z")


def seconds_until(shown: str) -> float:
    return (dt.datetime.fromisoformat(shown) - dt.datetime.now(dt.UTC)).total_seconds()


def test_times_are_shown_as_they_were_said(api: Api) -> None:
    """Before its time a job is queued like others, and has no place among them."""
    run_at, expires_at = ahead(hours=1), ahead(hours=2)
    job = api.submit(run_at=run_at, expires_at=expires_at, deadline_s=60)
    shown = api.get(f"/v1/jobs/{job['id']}").json
    assert (shown["status"], shown["position"]) == ("queued", None)
    assert (shown["run_at"], shown["expires_at"], shown["deadline_s"]) == (run_at, expires_at, 60)
    assert [listed["id"] for listed in api.get("/v1/jobs?status=queued").json["data"]] == [job["id"]]


def test_earlier_of_both_expiries_counts(api: Api) -> None:
    """`max_queue_s` counts from when the job may start."""
    assert 50 < seconds_until(api.submit(max_queue_s=60)["expires_at"]) <= 60
    assert 50 < seconds_until(api.submit(max_queue_s=60, expires_at=ahead(hours=1))["expires_at"]) <= 60
    assert 50 < seconds_until(api.submit(max_queue_s=3600, expires_at=ahead(minutes=1))["expires_at"]) <= 60
    assert 3650 < seconds_until(api.submit(max_queue_s=60, run_at=ahead(hours=1))["expires_at"]) <= 3660


def test_job_that_would_expire_before_it_may_start_is_refused(api: Api) -> None:
    """That is the client's slip, and nothing is stored."""
    given = {"type": "generate", "input": {"prompt": "x"}, "run_at": ahead(hours=2), "expires_at": ahead(hours=1)}
    response = api.post("/v1/jobs", json=given)
    assert (response.status_code, response.json["error"]["param"]) == (422, "run_at")
    assert api.get("/v1/jobs").json["data"] == []


def test_every_type_takes_times(api: Api) -> None:
    """Also documents, as texts and as files."""
    times = {"run_at": ahead(hours=1), "max_queue_s": 60, "deadline_s": 5}
    form = {name: str(value) for name, value in times.items()}
    texts = {"collection": "books", "documents": [{"text": "one two"}], **times}
    made = [
        api.submit(type="embed", input={"texts": ["one"]}, **times),
        api.post("/v1/documents", json=texts).json,
        api.post("/v1/documents", data={"collection": "books", "file": (a_file(), "a.txt"), **form}).json,
        api.submit(type="rag", input={"question": "Who?", "collection": "books"}, **times),
    ]
    assert [(job["run_at"], job["deadline_s"]) for job in made] == [(times["run_at"], 5)] * 4
    assert all(3650 < seconds_until(job["expires_at"]) <= 3660 for job in made)


@pytest.mark.parametrize("given", [{"deadline_s": 0}, {"run_at": "2020-01-01T00:00:00Z"}])
def test_wrong_time_of_documents_is_refused_by_name(api: Api, given: dict[str, Any]) -> None:
    """As texts and as a form."""
    [(field, value)] = given.items()
    texts = {"collection": "books", "documents": [{"text": "one"}], **given}
    form = {"collection": "books", "file": (a_file(), "a.txt"), field: str(value)}
    for response in (api.post("/v1/documents", json=texts), api.post("/v1/documents", data=form)):
        assert (response.status_code, response.json["error"]["param"]) == (422, field)


def test_retry_asks_the_same_again_and_names_the_old_job(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """The new job is new in all but what was asked; the old one stays as it ended."""
    asked = {"params": {"max_tokens": 3, "seed": 9}, "lane": "batch", "priority": 7, "metadata": {"k": "v"}}
    job = api.submit(**asked, deadline_s=60, max_queue_s=600)
    byhand.run(sessions, client, job["id"]).succeed()
    before = api.job(job["id"])
    response = api.post(f"/v1/jobs/{job['id']}/retry")
    assert response.status_code == 202, response.text
    again = response.json
    assert response.headers["Location"] == f"/v1/jobs/{again['id']}"
    assert again["retry_of"] == job["id"] != again["id"]
    assert (again["status"], again["attempt"], again["result"]) == ("queued", 0, None)
    assert (again["lane"], again["priority"], again["metadata"]) == ("batch", 7, {"k": "v"})
    assert (again["deadline_s"], again["expires_at"]) == (60, None)
    claim = claimed(sessions, again["id"])
    assert (claim.asked.input, claim.asked.params, claim.seed) == (
        {"prompt": "one two"},
        {"max_tokens": 3, "seed": 9},
        9,
    )
    assert api.job(job["id"]) == before


@pytest.mark.parametrize(
    "asked",
    [
        {"type": "embed", "input": {"texts": ["one", "two"]}},
        {"type": "chat", "input": {"messages": [{"role": "user", "content": "hi"}]}, "params": {"seed": 3}},
        {"type": "rag", "input": {"question": "Who?", "collection": "books"}},
    ],
)
def test_every_type_can_be_retried(api: Api, sessions: Sessions, asked: dict[str, Any]) -> None:
    """On the model it was shown with, from its first stage."""
    api.bring()
    job = api.submit(**asked)
    api.post(job["links"]["cancel"])
    again = api.post(job["links"]["retry"]).json
    assert (again["type"], again["model"], again["retry_of"]) == (job["type"], job["model"], job["id"])
    ours = ids.parse(job["id"]), ids.parse(again["id"])
    assert len({tables.column(sessions, job_id, "stage") for job_id in ours if job_id}) == 1


def test_retry_of_a_job_that_has_not_ended_is_a_conflict(api: Api, theirs: Api) -> None:
    """And another tenant's job is as unknown as none."""
    job = api.submit()
    assert api.post(f"/v1/jobs/{job['id']}/retry").status_code == 409
    assert theirs.post(f"/v1/jobs/{job['id']}/retry").status_code == 404
    assert api.post("/v1/jobs/job_x/retry").status_code == 404


def test_retry_of_a_cancelled_ingest_takes_its_documents_over(api: Api) -> None:
    """They wait for the new job, none twice; what has nothing left to wait is a conflict."""
    document = api.bring()
    old = document["links"]["job"]
    assert api.post(f"{old}/cancel").status_code == 200
    again = api.post(f"{old}/retry").json
    shown = api.get(document["links"]["self"]).json
    assert (shown["status"], shown["links"]["job"]) == ("pending", f"/v1/jobs/{again['id']}")
    assert api.post(f"{old}/retry").status_code == 409


def test_attempts_are_listed_on_the_job_alone(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """Who asks for one job is told of each run; lists and events don't carry that."""
    job = api.submit()
    assert api.get(f"/v1/jobs/{job['id']}").json["attempts"] == []
    run = byhand.run(sessions, client, job["id"])
    [attempt] = api.get(f"/v1/jobs/{job['id']}").json["attempts"]
    assert (attempt["number"], attempt["worker"], attempt["model"], attempt["stage"]) == (1, "w1", "alpha", "generate")
    assert (attempt["how"], attempt["ended_at"]) == (None, None)
    run.succeed()
    [attempt] = api.get(f"/v1/jobs/{job['id']}").json["attempts"]
    assert attempt["how"] == "succeeded"
    assert attempt["started_at"] <= attempt["ended_at"]
    assert "attempts" not in api.get("/v1/jobs").json["data"][0]


def claimed(sessions: Sessions, shown: str) -> Any:
    job_id = ids.parse(shown)
    assert job_id is not None
    tables.dispatch(sessions, job_id)
    return tables.claim(sessions, job_id)


def a_file() -> io.BytesIO:
    return io.BytesIO(b"one two")
