"""A job's events over HTTP: before, during and after its run, from Redis or PostgreSQL, resumed anywhere."""

import datetime as dt
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import redis
from flask import Flask

from db.session import Sessions
from tasks import ids
from tasks.doors import reading
from tasks.queues.places import Wait
from tasks.streams import follow, stream
from tasks.streams.events import Progress, Resumed
from tests import tables
from tests.support import entries
from tests.support.events import Event, read
from tests.webapi import byhand
from tests.webapi.conftest import Api
from webapi.v1.jobs import streams

Open = Callable[..., Iterator[Event]]


@pytest.fixture
def open_events(api: Api) -> Iterator[Open]:
    """Opens a job's stream and gives its events as they come; closes what was opened. A 204 has none."""
    opened = []

    def open_(job: dict[str, Any], query: str = "", **headers: str) -> Iterator[Event]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = api.get(f"/v1/jobs/{job['id']}/events{query}", headers=named, buffered=False)
        assert response.status_code in (200, 204), response.text
        opened.append(response)
        return seen(response.response)

    yield open_
    for response in opened:
        response.close()


def seen(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Each event as soon as its chunk has come."""
    return read(line for chunk in chunks for line in chunk.decode().split("\n"))


def text(events: list[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.type == "delta")


def test_stream_read_before_the_run_sees_all_of_it(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """From its place in the queue to its end, every event once and in order; the last one has the job."""
    job = api.submit()
    events = open_events(job)
    assert next(events) == Event(None, "queued", {"position": 0, "estimated_start_s": None})
    run = byhand.run(sessions, client, job["id"])
    assert next(events) == Event("1-1", "started", {"attempt": 1, "worker": "w1"})
    run.event(Progress(1, 2))
    assert next(events) == Event("1-2", "progress", {"done": 1, "total": 2})
    run.say("Hel")
    assert next(events) == Event("1-3", "delta", {"text": "Hel"})
    run.say("lo")
    run.succeed()
    *deltas, last = list(events)
    assert deltas == [Event("1-4", "delta", {"text": "lo"})]
    assert (last.id, last.type) == ("1-5", "succeeded")
    assert last.data == api.job(job["id"])


def test_event_is_one_line_whatever_a_client_takes_for_a_lines_end(
    api: Api, sessions: Sessions, client: redis.Redis
) -> None:
    """Some split at Unicode's separators too, as Python's `splitlines` does."""
    job, odd = api.submit(), "é\u2028\u2029\x85\x0b\x0c\x1c\x1e\r\n🙂"
    run = byhand.run(sessions, client, job["id"])
    run.say(odd)
    run.succeed()
    response = api.get(f"/v1/jobs/{job['id']}/events")
    events = list(read(response.text.splitlines()))
    assert text(events) == odd
    assert events[-1].data["result"]["text"] == odd


def test_position_is_told_again_when_it_changes(api: Api, sessions: Sessions, open_events: Open) -> None:
    """A waiting reader is told its place at once, and whenever that is another."""
    first, second = api.submit(), api.submit()
    events = open_events(second)
    assert next(events).data["position"] == 1
    api.post(f"/v1/jobs/{first['id']}/cancel")
    assert next(events) == Event(None, "queued", {"position": 0, "estimated_start_s": None})


def test_positions_are_looked_up_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty times a second in a process, of which a tenant alone has half, and once for a job however many read it."""
    looks, looked, one, other = reading._Looks(), Counter[uuid.UUID](), uuid.uuid4(), uuid.uuid4()
    moments = iter(range(1000 * 100))
    monkeypatch.setattr(reading.time, "monotonic", lambda: next(moments) / 100_000)
    seen, tenants = Wait(3, None), itertools.cycle((one, one, one, other))

    def look(job_id: uuid.UUID) -> Wait:
        looked[job_id] += 1
        return seen

    for tenant in itertools.islice(tenants, 1000 * 25):
        looks.at(tenant, ids.new(), look)
    assert looked.total() <= 13  # in a quarter of a second
    looked.clear()
    for _ in range(1000 * 25):
        looks.at(one, ids.new(), look)
    assert 5 <= looked.total() <= 7
    looked.clear()
    assert [looks.at(other, one, look) for _ in range(1000 * 25)][-1] == seen
    assert looked == {one: 1}


def test_scheduled_job_is_not_looked_at_before_its_time(
    api: Api, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its readers would be told nothing: it has no position yet."""
    monkeypatch.setattr(reading, "_FIRST_LOOK_S", 0.0)
    monkeypatch.setattr(reading, "_TICK_S", 0.01)
    looked = list[uuid.UUID]()
    monkeypatch.setattr(reading.Reader, "_wait", lambda _, job_id: looked.append(job_id))
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    job = api.submit(run_at=later.isoformat())
    steps = api.app.extensions["forebay"].reader.events(tables.tenant(sessions), ids.parse(job["id"]), 0)
    assert [next(steps) for _ in range(20)] == [None] * 20
    assert looked == []


def test_stream_joined_during_the_run_starts_at_its_beginning(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """Who comes late is first given what was said already, then what is said."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.say("a", "b")
    events = open_events(job)
    assert [next(events).id for _ in range(3)] == ["1-1", "1-2", "1-3"]
    run.say("c")
    assert next(events).id == "1-4"
    run.succeed()
    assert [event.type for event in events] == ["succeeded"]


@pytest.mark.parametrize("lost", [False, True])
def test_stream_after_the_end_is_what_it_was(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open, lost: bool
) -> None:
    """An ended job's stream is replayed number by number, whether or not Redis still has it."""
    job = api.submit()
    live = open_events(job)
    assert next(live).type == "queued"
    run = byhand.run(sessions, client, job["id"])
    run.say("a", "b")
    run.event(Progress(1, 1))
    run.succeed()
    as_it_was = list(live)
    if lost:
        client.flushall()
    assert list(open_events(job)) == as_it_was


def test_reader_in_the_middle_of_a_stream_that_has_left_redis_notices_nothing(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """One that reads for longer than an ended stream stays: what it hasn't read comes from PostgreSQL, to the byte."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.say(*(f"{n} " for n in range(3 * stream.PAGE_ENTRIES)))
    slow, fast = (open_events(job) for _ in range(2))
    begun = [next(slow) for _ in range(5)]
    next(fast)
    run.succeed()
    whole = list(fast)
    client.delete(stream.key(run.job_id))
    assert [*begun, *slow][1:] == whole


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


def test_stream_goes_on_through_another_attempt(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """A worker's death is a pause: numbers go on, and the attempt in the id tells."""
    job = api.submit()
    first = byhand.run(sessions, client, job["id"])
    first.say("a", "b")
    events = open_events(job)
    assert [next(events).id for _ in range(3)] == ["1-1", "1-2", "1-3"]
    second = byhand.run(sessions, client, job["id"])
    second.event(Resumed(2))
    assert first.writer.append(first.so_far.entries) == "fenced"
    second.say("c")
    second.succeed()
    rest = list(events)
    assert [(event.id, event.type) for event in rest] == [("2-4", "resumed"), ("2-5", "delta"), ("2-6", "succeeded")]


def test_stream_goes_on_after_redis_lost_everything(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """The writer republishes from its memory, and the reader sees neither a gap nor anything twice."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.say("a", "b")
    events = open_events(job)
    assert [next(events).number for _ in range(3)] == [1, 2, 3]
    client.flushall()
    run.say("c", "d")
    run.succeed()
    rest = list(events)
    assert ([event.number for event in rest], text(rest)) == ([4, 5, 6], "cd")


def test_stream_ends_though_redis_never_tells(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """A lost stream whose writer is gone is ended from PostgreSQL, with what the reader hadn't seen."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.say("a")
    events = open_events(job)
    assert [next(events).number for _ in range(2)] == [1, 2]
    run.so_far.add(entries.said("b"))
    client.flushall()
    run.succeed(announce=False)
    assert [(event.number, event.type) for event in events] == [(3, "delta"), (4, "succeeded")]


def test_stream_ends_though_the_words_it_showed_were_lost(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """Cancelled after Redis lost more than the last checkpoint had: who reads is told to forget it, and the end."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.say("a", "b", "c")
    events = open_events(job)
    assert [next(events).number for _ in range(4)] == [1, 2, 3, 4]
    client.flushall()
    api.post(f"/v1/jobs/{job['id']}/cancel")
    assert [event.type for event in events] == ["restarted", "cancelled"]
    assert [event.type for event in open_events(job, "?after=4")] == ["cancelled"]


def test_clients_never_see_token_ids(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """What the entries hold for continuing a run stays inside."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.say("a")
    run.succeed()
    for _ in range(2):
        assert "token_ids" not in api.get(f"/v1/jobs/{job['id']}/events").text
        client.flushall()


def test_headers_keep_proxies_from_holding_events_back(api: Api) -> None:
    """The stream says what it is, and begins at once with a comment."""
    job = api.submit()
    api.post(f"/v1/jobs/{job['id']}/cancel")
    response = api.get(f"/v1/jobs/{job['id']}/events")
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.text.startswith(": ok\n\n")


def test_silence_is_broken_by_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment comes whenever nothing else was sent for ten seconds."""
    now = 0.0
    monkeypatch.setattr(streams.time, "monotonic", lambda: now)

    def seconds(count: int) -> Iterator[None]:
        nonlocal now
        for _ in range(count):
            now += 1
            yield None

    assert list(streams.render(seconds(25), lambda: False)) == [b": ok\n\n", b": hb\n\n", b": hb\n\n"]


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


def test_running_job_with_an_expired_stream_is_still_followed(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """A reader who comes while nothing is left in Redis gets everything once it is there again."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    run.say("a")
    client.delete(stream.key(ids.parse(job["id"])))  # type: ignore[arg-type]
    events = open_events(job)
    run.say("b")
    run.succeed()
    assert text(list(events)) == "ab"


def test_dispatched_job_still_shows_its_place(api: Api, sessions: Sessions, open_events: Open) -> None:
    """In Redis or in PostgreSQL, a waiting job waits."""
    job = api.submit()
    tables.dispatch(sessions, ids.parse(job["id"]))
    assert next(open_events(job)).type == "queued"


def test_end_that_the_version_before_wrote_is_shown_as_it_was(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """It lies in Redis when this version starts, or comes from a worker not yet replaced: a list, with the job."""
    job = api.submit()
    run = byhand.run(sessions, client, job["id"])
    events = open_events(job)
    assert next(events).type == "started"
    run.say("hi")
    run.succeed(announce=False)
    shown = api.job(job["id"])
    client.xadd(stream.key(run.job_id), {"j": json.dumps(["succeeded", shown, 0, []])}, id="1-3")
    assert list(events) == [Event("1-2", "delta", {"text": "hi"}), Event("1-3", "succeeded", shown)]
