"""A job's events over HTTP: before, during and after its run, from Redis or PostgreSQL."""

import datetime as dt
import itertools
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
import redis

from db.session import Sessions
from tasks import ids
from tasks.doors import reading
from tasks.queues.places import Wait
from tasks.streams.events import Progress
from tests import tables
from tests.support.events import Event, read
from tests.webapi import byhand
from tests.webapi.conftest import Api
from tests.webapi.opened import Open, open_events, text
from webapi.v1.jobs import streams

__all__ = ["open_events"]


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


def test_dispatched_job_still_shows_its_place(api: Api, sessions: Sessions, open_events: Open) -> None:
    """In Redis or in PostgreSQL, a waiting job waits."""
    job = api.submit()
    tables.dispatch(sessions, ids.parse(job["id"]))
    assert next(open_events(job)).type == "queued"
