"""Looking at jobs, listing them, waiting for them, ending them."""

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from flask import Flask

from db.session import Sessions
from tasks import ids
from tasks.jobs.lifecycle import Status
from tests import tables
from tests.support.waiting import until
from tests.webapi import byhand
from tests.webapi.conftest import Api


def listed(api: Api, query: str) -> list[str]:
    response = api.get(f"/v1/jobs?{query}")
    assert response.status_code == 200, response.text
    return [job["id"] for job in response.json["data"]]


def test_waiting_job_shows_its_position(api: Api) -> None:
    """Who asks for a waiting job is told how many go before it."""
    first, second = api.submit(), api.submit()
    assert [api.get(f"/v1/jobs/{job['id']}").json["position"] for job in (first, second)] == [0, 1]


def test_dispatched_job_is_shown_as_queued(api: Api, sessions: Sessions) -> None:
    """Whether a message is in Redis yet is our affair."""
    job = api.submit()
    tables.dispatch(sessions, ids.parse(job["id"]))
    assert api.get(f"/v1/jobs/{job['id']}").json["status"] == "queued"
    assert listed(api, "status=queued") == [job["id"]]


def test_ended_job_shows_result_usage_and_times(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """The result stays readable under the job's id."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.say("two", " one")
    run.succeed()
    shown = api.get(f"/v1/jobs/{job['id']}").json
    assert (shown["status"], shown["result"]) == ("succeeded", {"text": "two one"})
    assert shown["usage"] == {"prompt_tokens": 2, "completion_tokens": 2}
    assert shown["created_at"] <= shown["started_at"] <= shown["finished_at"]
    assert shown["position"] is None


def test_pages_give_every_job_once_newest_first(api: Api) -> None:
    """Following `next` to its end walks over all jobs, whatever is added meanwhile."""
    made = [api.submit()["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page = api.get(f"/v1/jobs?limit=2{f'&after={cursor}' if cursor else ''}").json
        assert page["object"] == "list"
        seen += [job["id"] for job in page["data"]]
        cursor = page["next"]
        api.submit()
    assert (seen, cursor) == (made[::-1], None)


def test_filters_narrow_the_list(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """Status, type, model and time each narrow, and together."""
    ended, other, chat = (
        api.submit(),
        api.submit(model="beta"),
        api.submit(type="chat", input={"messages": [{"role": "user", "content": "x"}]}),
    )
    byhand.run(sessions, client, ended["id"]).succeed()
    assert listed(api, "status=succeeded") == [ended["id"]]
    assert listed(api, "status=queued") == [chat["id"], other["id"]]
    assert listed(api, "model=beta") == [other["id"]]
    assert listed(api, "type=chat&status=queued") == [chat["id"]]
    assert listed(api, "type=chat&model=beta") == []
    assert listed(api, f"since={other['created_at']}") == [chat["id"], other["id"]]
    tomorrow = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")
    assert listed(api, f"since={tomorrow}") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("limit=1e999", "limit"),
        ("after=job_x", "after"), ("after=", "after"), ("after=%00", "after"),
        ("status=dispatched", "status"), ("status=done", "status"), ("type=dance", "type"),
        ("model=%00", "model"), ("model=", "model"), ("since=yesterday", "since"), ("sort=up", "sort"),
    ],
)  # fmt: skip
def test_wrong_query_is_a_422_that_names_it(api: Api, query: str, field: str) -> None:
    """A list that would silently be another one than was asked for is refused."""
    response = api.get(f"/v1/jobs?{query}")
    assert (response.status_code, response.json["error"]["param"]) == (422, field)


@pytest.mark.parametrize("wait", ["-1", "61", "x", "nan", "inf"])
def test_wrong_wait_is_a_422(api: Api, wait: str) -> None:
    """A wait is 0 to 60 seconds."""
    response = api.get(f"/v1/jobs/{api.submit()['id']}?wait={wait}")
    assert (response.status_code, response.json["error"]["param"]) == (422, "wait")


@pytest.mark.parametrize("shown", ["job_" + "0" * 32, "job_" + "z" * 32, "x", "%00", "job_" + "0" * 5000, "..%2f.."])
def test_unknown_job_is_a_404(api: Api, shown: str) -> None:
    """Whatever isn't a job's id is answered as a job that isn't there."""
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
        response = api.ask(method, f"/v1/jobs/{shown}{path}")
        assert (response.status_code, response.json["error"]["code"]) == (404, "not_found")


def in_background(ask: Any) -> Any:
    pool = ThreadPoolExecutor(1)
    answer = pool.submit(ask)
    pool.shutdown(wait=False)
    return answer


@pytest.mark.parametrize("options", [{"query_string": {"wait": "30"}}, {"headers": {"Prefer": "wait=30"}}])
def test_wait_answers_when_the_job_ends(
    api: Api, sessions: Sessions, client: redis.Redis, options: dict[str, Any]
) -> None:
    """A wait, asked for either way, ends with the job and not with its time."""
    job = api.submit()
    answer = in_background(lambda: api.get(f"/v1/jobs/{job['id']}", **options))
    run = byhand.run(sessions, client, job["id"])
    run.say(*"abcdef")
    assert not answer.done()
    run.succeed()
    response = answer.result(timeout=60)
    assert response.json["status"] == "succeeded"
    assert response.headers.get("Preference-Applied") == ("wait=30" if "headers" in options else None)


def test_wait_is_over_when_its_time_is(api: Api) -> None:
    """A job that doesn't end in time is shown as it is."""
    job = api.submit()
    assert api.get(f"/v1/jobs/{job['id']}?wait=0.05").json["status"] == "queued"
    assert api.get(f"/v1/jobs/{job['id']}?wait=0").json["status"] == "queued"


def test_wait_ends_though_the_end_was_never_announced(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """Where the stream can't tell the end, PostgreSQL does."""
    job = api.submit()
    answer = in_background(lambda: api.get(f"/v1/jobs/{job['id']}?wait=30"))
    byhand.run(sessions, client, job["id"]).succeed(announce=False)
    assert answer.result(timeout=60).json["status"] == "succeeded"


@pytest.mark.parametrize("preference", ["wait=x", "wait=61", "wait", "wait=-1", "wait=" + "9" * 20, "x=y", ""])
def test_preference_that_cannot_be_honoured_is_ignored(api: Api, preference: str) -> None:
    """RFC 7240: a wrong preference is as if it weren't there."""
    response = api.get(f"/v1/jobs/{api.submit()['id']}", headers={"Prefer": preference})
    assert (response.status_code, "Preference-Applied" in response.headers) == (200, False)


def test_preference_is_found_among_others(api: Api) -> None:
    """`wait` is honoured wherever it stands in the header."""
    response = api.get(f"/v1/jobs/{api.submit()['id']}", headers={"Prefer": 'respond-async, Wait="0"; x=y'})
    assert response.headers["Preference-Applied"] == "wait=0"


def test_cancel_ends_a_waiting_job_for_good(api: Api) -> None:
    """Cancelling again answers the same job."""
    job = api.submit()
    first, second = (api.post(f"/v1/jobs/{job['id']}/cancel") for _ in range(2))
    assert (first.status_code, first.json["status"]) == (200, "cancelled")
    assert (second.status_code, second.json) == (200, first.json)


def test_cancel_ends_a_running_job(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """What was streamed is charged, and the worker can write no more."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.say("a", "b")
    cancelled = api.post(f"/v1/jobs/{job['id']}/cancel").json
    assert (cancelled["status"], cancelled["usage"]["completion_tokens"]) == ("cancelled", 2)
    assert run.writer.append(run.so_far.entries) == "fenced"


def test_cancel_of_an_ended_job_changes_nothing(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """A job that has ended stays as it is."""
    job = api.submit()
    byhand.run(sessions, client, job["id"]).succeed()
    assert api.post(f"/v1/jobs/{job['id']}/cancel").json == api.job(job["id"])


def test_too_many_waits_are_a_503(app: Flask, api: Api) -> None:
    """Requests that hold a thread are bounded, so that the others are still answered."""
    serving, job = app.extensions["forebay"], api.submit()
    for holder in range(serving.settings.max_readers):
        serving.readers.take(holder)
    for path in ("?wait=5", "/events"):
        response = api.get(f"/v1/jobs/{job['id']}{path}")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert api.get(f"/v1/jobs/{job['id']}").status_code == 200


def test_permits_are_given_back(app: Flask, api: Api) -> None:
    """Streams read to their end, not read at all, asked about with HEAD, or refused leave no place taken."""
    serving, job = app.extensions["forebay"], api.submit()
    api.post(f"/v1/jobs/{job['id']}/cancel")
    for _ in range(2):
        api.get(f"/v1/jobs/{job['id']}/events").close()
        api.ask("HEAD", f"/v1/jobs/{job['id']}/events").close()
        api.get(f"/v1/jobs/{job['id']}/events?after=1").close()  # nothing is left: a 204
        api.get("/v1/jobs/nothing/events")
        api.get(f"/v1/jobs/{api.submit()['id']}?wait=1")
        api.post("/v1/jobs", data=b" " * 100_000 + b"{}", content_type="application/json")
        api.post("/v1/documents", data=b"[" * 100_000, content_type="application/json")
        api.post("/v1/search", json={"query": "x"})
    for shares in (serving.readers, serving.searches, serving.receiving, serving._turns, serving._large):
        assert shares._free == shares.places
    for holder in range(serving.settings.max_readers):
        serving.readers.take(holder)


def test_submitting_sends_the_wake_up(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """A worker with room hears of the job at once; Redis holds its id and nothing of the prompt."""
    tables.worker(sessions, slots=2)
    job = api.submit(input={"prompt": "a secret to keep"})
    until(lambda: client.llen("forebay:alpha.interactive") == 1)
    assert tables.column(sessions, ids.parse(job["id"]), "status") == Status.DISPATCHED
    assert all(b"secret" not in (client.dump(key) or b"") for key in client.scan_iter("*"))


def test_many_at_once_are_all_accepted(api: Api) -> None:
    """Threads share one pool, one broker connection and one cache of keys."""
    barrier = threading.Barrier(8)

    def submit(_: int) -> str:
        barrier.wait()
        return str(api.submit()["id"])

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(submit, range(8)))
    assert sorted(listed(api, "limit=100")) == sorted(made)
