"""A job's events though a worker dies, Redis forgets, or a version before wrote them."""

import json

import redis

from db.session import Sessions
from tasks import ids
from tasks.streams import stream
from tasks.streams.events import Resumed
from tests.support import entries
from tests.support.events import Event
from tests.webapi import byhand
from tests.webapi.conftest import Api
from tests.webapi.opened import Open, open_events, text

__all__ = ["open_events"]


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
