"""Words that a reader had and that were lost with Redis and their worker together: it is told so, never misled."""

import redis

from db.session import Sessions
from tasks import ids
from tasks.streams.events import Resumed
from tasks.telemetry import Fact, StreamRestarted
from tests.support import entries
from tests.support.events import Event
from tests.webapi import byhand
from tests.webapi.byhand import Run
from tests.webapi.conftest import Api
from tests.webapi.opened import Open, open_events, text

__all__ = ["open_events"]

ANEW = [
    ("2-0", "restarted"),
    ("2-1", "started"),
    ("2-2", "delta"),
    ("2-3", "resumed"),
    ("2-4", "delta"),
    ("2-5", "succeeded"),
]


def lost(sessions: Sessions, client: redis.Redis, job_id: str) -> Run:
    """The first attempt said "ab", of which PostgreSQL has "a"; then Redis and the worker went. The second's run."""
    first = byhand.run(sessions, client, job_id)
    first.say("a")
    first.checkpoint()
    first.say("b")
    return first


def goes_on(sessions: Sessions, client: redis.Redis, job_id: str) -> Run:
    client.flushall()
    second = byhand.run(sessions, client, job_id)
    second.event(Resumed(2))
    second.say("bcd")
    return second


def shown(events: list[Event]) -> list[tuple[str | None, str]]:
    return [(event.id, event.type) for event in events]


def test_open_reader_is_told_to_begin_anew(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open, facts: list[Fact]
) -> None:
    """And telemetry is, once."""
    job = api.submit()
    lost(sessions, client, job["id"])
    events = open_events(job)
    assert [next(events).id for _ in range(3)] == ["1-1", "1-2", "1-3"]
    goes_on(sessions, client, job["id"]).succeed()
    anew = list(events)
    assert shown(anew) == ANEW
    assert text(anew) == "abcd"
    job_id = ids.parse(job["id"])
    assert job_id is not None
    assert [fact for fact in facts if isinstance(fact, StreamRestarted)] == [StreamRestarted(job_id, 2)]


def test_reader_that_comes_again_is_told_during_and_after_the_run(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """By the attempt in the id that it had last; who had no more than was kept goes on as if nothing had happened."""
    job = api.submit()
    lost(sessions, client, job["id"])
    second = goes_on(sessions, client, job["id"])
    events = open_events(job, Last_Event_ID="1-3")
    assert shown([next(events) for _ in range(5)]) == ANEW[:5]
    second.succeed()
    for kept in (True, False):
        assert shown(list(open_events(job, Last_Event_ID="1-3"))) == ANEW
        assert shown(list(open_events(job, Last_Event_ID="1-2"))) == ANEW[3:]
        assert shown(list(open_events(job, Last_Event_ID="2-0"))) == ANEW[1:]
        if kept:
            client.flushall()


def test_reader_is_told_though_only_postgresql_knows(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """Redis is lost a second time, with the end."""
    job = api.submit()
    lost(sessions, client, job["id"])
    events = open_events(job)
    assert [next(events).id for _ in range(3)] == ["1-1", "1-2", "1-3"]
    client.flushall()
    second = byhand.run(sessions, client, job["id"])
    client.flushall()
    second.so_far.add(Resumed(2))
    second.so_far.add(entries.said("bcd"))
    second.succeed(announce=False)
    assert shown(list(events)) == ANEW


def test_reader_of_what_stands_where_the_end_is_begins_anew(
    api: Api, sessions: Sessions, client: redis.Redis, open_events: Open
) -> None:
    """Cancelled when Redis had lost it: what the reader had last isn't kept, the end has its number."""
    job = api.submit()
    lost(sessions, client, job["id"])
    events = open_events(job)
    assert [next(events).id for _ in range(3)] == ["1-1", "1-2", "1-3"]
    client.flushall()
    api.post(f"/v1/jobs/{job['id']}/cancel")
    client.flushall()
    anew = [("2-0", "restarted"), ("2-1", "started"), ("2-2", "delta"), ("2-3", "cancelled")]
    assert shown(list(events)) == anew
    assert shown(list(open_events(job, Last_Event_ID="1-3"))) == anew
    assert api.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": "2-3"}).status_code == 204
