"""A job's events from where a reader had come to: by a query or a header, and told to come again."""

from collections.abc import Iterator

import pytest
import redis
from flask import Flask

from db.session import Sessions
from tasks.streams import follow
from tests.webapi import byhand
from tests.webapi.conftest import Api
from tests.webapi.opened import Open, open_events
from webapi.v1.jobs import streams

__all__ = ["open_events"]


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("resume", [("?after=1-3", {}), ("?after=3", {}), ("", {"Last_Event_ID": "1-3"})])
def test_resuming_gives_only_what_comes_after(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open, resume: tuple[str, dict[str, str]], lost: bool
) -> None:
    """A reader is sent only greater numbers than the one it names, wherever the events come from."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.say("a", "b", "c")
    query, headers = resume
    live = open_events(job, query, **headers)
    assert next(live).id == "1-4"
    run.succeed()
    assert [event.id for event in live] == ["1-5"]
    if lost:
        client.flushall()
    assert [event.id for event in open_events(job, query, **headers)] == ["1-4", "1-5"]


def test_query_goes_before_the_header(api: Api, sessions: Sessions, client: redis.Redis, open_events: Open) -> None:
    """A link with `?after=` means what it says, whatever the browser adds."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.succeed()
    assert [event.id for event in open_events(job, "?after=0", Last_Event_ID="1-1")] == ["1-1", "1-2"]


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("resume", [("?after=2", {}), ("?after=1-2", {}), ("", {"Last-Event-ID": "1-2"})])
def test_resuming_after_the_last_event_is_a_204(
    api: Api, sessions: Sessions, client: redis.Redis, resume: tuple[str, dict[str, str]], lost: bool
) -> None:
    """Who has seen the end sees nothing twice, and its EventSource stops connecting (WHATWG HTML, section 9.2.3)."""
    job = api.submit()
    byhand.run(sessions, client, job["id"]).succeed()
    if lost:
        client.flushall()
    query, headers = resume
    response = api.get(f"/v1/jobs/{job['id']}/events{query}", headers=headers)
    assert (response.status_code, response.data) == (204, b"")
    assert response.headers["Cache-Control"] == "no-cache, no-transform"


def test_job_that_ends_between_two_connections_is_told_once_and_then_a_204(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """The next connection gives the end, and the one after that nothing."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.say("a")
    events = open_events(job)
    assert [next(events).id for _ in range(2)] == ["1-1", "1-2"]
    run.succeed()
    assert [(event.id, event.type) for event in open_events(job, Last_Event_ID="1-2")] == [("1-3", "succeeded")]
    assert api.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": "1-3"}).status_code == 204


def test_job_that_goes_on_is_followed_from_beyond_what_it_said(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """Only a job that has ended has nothing left, whatever number the reader names."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    events = open_events(job, "?after=1-1")
    run.succeed()
    assert [event.id for event in events] == ["1-2"]
    assert [event.type for event in open_events(job, "?after=7")] == ["succeeded"]


@pytest.mark.parametrize("value", ["x", "1-", "-1", "1-2-3", "1.5", "", "9" * 10, "1-9999999999", "\u0661", "%00"])
def test_malformed_number_is_a_422_that_names_where_it_stood(api: Api, value: str) -> None:
    """A reader that would silently be sent everything again is told instead."""
    job = api.submit()
    response = api.get(f"/v1/jobs/{job['id']}/events?after={value}")
    assert (response.status_code, response.json["error"]["param"]) == (422, "after")
    if value.isascii() and "%" not in value:
        response = api.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": value})
        assert (response.status_code, response.json["error"]["param"]) == (422, "Last-Event-ID")


@pytest.mark.parametrize(("outcome", "retry"), [(follow.Overflow, b"retry: 0"), (follow.Stopped, b"retry: 500")])
def test_reader_that_must_resume_is_told_so(outcome: type[Exception], retry: bytes) -> None:
    """A slow reader, or one whose process stops, is asked to come again and sees the stream's clean end."""

    def steps() -> Iterator[None]:
        yield None
        raise outcome

    assert retry in list(streams.render(steps(), lambda: False))[-1]


def test_stopping_process_lets_its_readers_go(app: Flask, api: Api, open_events: Open) -> None:
    """Streams and waits end at once when the process is asked to stop, and a stream says when to come again."""
    job = api.submit()
    response = api.get(f"/v1/jobs/{job['id']}/events", buffered=False)
    chunks = iter(response.response)
    assert [next(chunks)[:4] for _ in range(2)] == [b": ok", b"even"]
    app.extensions["forebay"].stop()
    assert list(chunks) == [b": resume\nretry: 500\n\n"]
    assert api.get(f"/v1/jobs/{job['id']}?wait=60").json["status"] == "queued"
