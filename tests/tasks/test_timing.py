"""A job's times, kept by PostgreSQL's clock: at the claim and by the sweep."""

import datetime as dt
import uuid
from typing import Any

import pytest
import redis
from sqlalchemy import text

from db.session import Sessions
from tasks import ending, errors, jobs, timing
from tasks.keys import Caller
from tasks.lifecycle import Status
from tasks.queues.sweep import Sweeper
from tasks.streams import stream
from tasks.streams.stream import Writer
from tasks.streams.transcript import DELTA, STARTED, Entry
from tasks.timing import Timing
from tests import tables
from tests.tasks.queues.sweeping import Post, made, sweep


@pytest.fixture
def post(client: redis.Redis) -> Post:
    return Post(client)


@pytest.fixture
def sweeper(sessions: Sessions, client: redis.Redis, post: Post) -> Sweeper:
    return made(sessions, client, post)


def now(sessions: Sessions) -> dt.datetime:
    with sessions() as session:
        moment = session.scalar(text("SELECT now()"))
    assert isinstance(moment, dt.datetime)
    return moment


def submitted(sessions: Sessions, caller: Caller, **times: Any) -> uuid.UUID:
    return tables.submit(sessions, caller, timing=Timing(**times)).id


def running(sessions: Sessions, caller: Caller, **times: Any) -> uuid.UUID:
    job_id = submitted(sessions, caller, **times)
    tables.dispatch(sessions, job_id)
    assert tables.claim(sessions, job_id)
    return job_id


def status(sessions: Sessions, job_id: uuid.UUID) -> Any:
    return tables.column(sessions, job_id, "status")


def test_scheduled_job_waits_outside_every_queue_for_its_time(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post
) -> None:
    """Nothing sees it before: no refill, no place in the queue, no claim. Then the next sweep sends it."""
    tables.worker(sessions)
    hour = dt.timedelta(hours=1)
    early = submitted(sessions, caller, run_at=now(sessions) + hour)
    plain = tables.submit(sessions, caller).id
    with sessions() as session:
        places = [jobs.wait(session, job_id, tables.LEASE_S) for job_id in (early, plain)]
    assert [place and place.position for place in places] == [None, 0]
    sweep(sweeper)
    assert post.sent == [(str(plain), "alpha.interactive")]
    assert tables.claim(sessions, early) is None
    tables.backdate(sessions, early, hour)
    sweep(sweeper)
    assert post.sent[1:] == [(str(early), "alpha.interactive")]
    assert tables.claim(sessions, early) is not None


def test_job_that_did_not_start_in_time_expires(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, client: redis.Redis
) -> None:
    """Wherever it waits; its stream says so, and it cost nothing. A job that has started doesn't expire."""
    hour = dt.timedelta(hours=1)
    late = {"expires_at": now(sessions) + hour}
    queued, dispatched = (submitted(sessions, caller, **late) for _ in range(2))
    scheduled = submitted(sessions, caller, **late, run_at=now(sessions) + hour / 2)
    started, handed_back = (running(sessions, caller, **late) for _ in range(2))
    fresh = submitted(sessions, caller, expires_at=now(sessions) + 2 * hour)
    tables.worker(sessions)
    tables.dispatch(sessions, dispatched)
    with sessions.begin() as session:
        tables.put(session, handed_back, Status.QUEUED)
    for job_id in (queued, dispatched, scheduled, started, handed_back, fresh):
        tables.backdate(sessions, job_id, hour)
    sweep(sweeper)
    for job_id in (queued, dispatched, scheduled):
        assert status(sessions, job_id) == "expired"
        assert [event.entry.type for event in stream.read(client, job_id)] == ["expired"]
        assert tables.usage_rows(sessions, job_id) == [(0, 0)]
    assert status(sessions, started) == "running"
    assert status(sessions, handed_back) == status(sessions, fresh) == "dispatched"


def test_claim_of_a_job_past_its_time_is_refused(sessions: Sessions, caller: Caller) -> None:
    """Also before any sweep has come by: what is late is never started, what is overdue never goes on."""
    hour = dt.timedelta(hours=1)
    late = submitted(sessions, caller, expires_at=now(sessions) + hour)
    overdue = running(sessions, caller, deadline_s=3600)
    for job_id in (late, overdue):
        tables.dispatch(sessions, job_id)
        tables.backdate(sessions, job_id, hour)
        assert tables.claim(sessions, job_id) is None


def test_job_past_its_deadline_fails_with_what_it_had_produced(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, client: redis.Redis
) -> None:
    """Wherever it is, counted from its first start; whoever runs it is told to stop, and can't write any more."""
    tables.worker(sessions)
    hour = dt.timedelta(hours=1)
    active, put_off, in_time = (running(sessions, caller, deadline_s=3600 * n) for n in (1, 1, 2))
    with sessions.begin() as session:
        tables.put(session, put_off, Status.SCHEDULED, due_at=now(sessions) + 3 * hour)
    pen = Writer(client, active, 1, 60)
    pen.open([Entry(1, STARTED, {}, 4), Entry(2, DELTA, {"text": "hi"}, 1, (5,))])
    for job_id in (active, put_off, in_time):
        tables.backdate(sessions, job_id, hour)
    channel = client.pubsub()
    channel.subscribe(ending.CANCELS)
    sweep(sweeper)
    for job_id in (active, put_off):
        assert status(sessions, job_id) == "failed"
        assert tables.column(sessions, job_id, "error_code") == "deadline_exceeded"
    assert tables.usage_rows(sessions, active) == [(4, 1)]
    assert stream.read(client, active)[-1].entry.type == "failed"
    assert pen.append([Entry(3, DELTA, {"text": "!"}, 1, (6,))]) is stream.Answer.FENCED
    stopped = {message["data"] for _ in range(4) if (message := channel.get_message(timeout=5))}
    assert stopped >= {active.hex.encode(), put_off.hex.encode()}
    assert status(sessions, in_time) == "running"
    channel.close()


def test_times_are_kept_without_redis(sessions: Sessions, caller: Caller, post: Post) -> None:
    """They are PostgreSQL's affair: only words since the last checkpoint are lost."""
    nowhere = stream.connect("redis://127.0.0.1:1/0", timeout_s=0.2, max_connections=2)
    tables.worker(sessions)
    hour = dt.timedelta(hours=1)
    late, overdue = submitted(sessions, caller, max_queue_s=3600), running(sessions, caller, deadline_s=3600)
    for job_id in (late, overdue):
        tables.backdate(sessions, job_id, hour)
    sweep(made(sessions, nowhere, post))
    assert [status(sessions, job_id) for job_id in (late, overdue)] == ["expired", "failed"]


def test_many_that_expire_at_once_are_ended_in_rounds(sessions: Sessions, caller: Caller, sweeper: Sweeper) -> None:
    """A round stays short however many are late, and none of them can be started meanwhile."""
    made = [submitted(sessions, caller, max_queue_s=3600) for _ in range(250)]
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET expires_at = expires_at - interval '1 hour'"))
    sweep(sweeper)
    left = [job_id for job_id in made if status(sessions, job_id) != "expired"]
    assert len(left) == 50
    tables.dispatch(sessions, left[0])
    assert tables.claim(sessions, left[0]) is None
    sweep(sweeper)
    assert {status(sessions, job_id) for job_id in made} == {"expired"}


def test_times_that_cannot_be_are_refused_by_name(sessions: Sessions, caller: Caller) -> None:
    """In the past, too far ahead, or in the wrong order."""
    at, day = now(sessions), dt.timedelta(days=1)
    refused = [
        ({"run_at": at - day}, "run_at"),
        ({"run_at": at + (timing.MAX_AHEAD_DAYS + 1) * day}, "run_at"),
        ({"expires_at": at - day}, "expires_at"),
        ({"expires_at": at + (timing.MAX_AHEAD_DAYS + 1) * day}, "expires_at"),
        ({"run_at": at + 2 * day, "expires_at": at + day}, "run_at"),
    ]
    for times, field in refused:
        with pytest.raises(errors.InvalidField) as error:
            submitted(sessions, caller, **times)
        assert error.value.field == field
