"""A job's times, kept by PostgreSQL's clock: at the claim and by the sweep."""

import datetime as dt
import uuid
from collections import Counter
from typing import Any

import pytest
import redis
from sqlalchemy import event, text

from db.session import Sessions
from tasks import errors
from tasks.jobs import endings, jobs, timing
from tasks.jobs.lifecycle import Status
from tasks.jobs.timing import Timing
from tasks.keys import Caller
from tasks.queues import places, window
from tasks.streams import stream
from tasks.streams.stream import Writer
from tasks.streams.transcript import Entry
from tasks.sweep.sweeper import Sweeper
from tests import hooks, tables
from tests.support import entries
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep


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
    return tables.running(sessions, caller, timing=Timing(**times)).job_id


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
        found = [places.wait(session, job_id, tables.LEASE_S) for job_id in (early, plain)]
    assert [place and place.position for place in found] == [None, 0]
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
        assert entries.told(stream.read(client, job_id)) == ["expired"]
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
    writer = Writer(client, active, 1, 60)
    writer.open(entries.spoken("hi"))
    for job_id in (active, put_off, in_time):
        tables.backdate(sessions, job_id, hour)
    channel = client.pubsub()
    channel.subscribe(endings.CANCELS)
    sweep(sweeper)
    for job_id in (active, put_off):
        assert status(sessions, job_id) == "failed"
        assert tables.column(sessions, job_id, "error_code") == "deadline_exceeded"
    assert tables.usage_rows(sessions, active) == [(4, 1)]
    assert entries.told(stream.read(client, active))[-1] == "failed"
    assert writer.append([Entry(3, entries.said("!"), (6,))]) is stream.AppendResult.FENCED
    stopped = set()
    while not stopped >= {active.hex.encode(), put_off.hex.encode()}:
        message = channel.get_message(timeout=60)
        assert message
        stopped.add(message["data"])
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


def statuses(sessions: Sessions, job_ids: list[uuid.UUID]) -> Counter[str]:
    with sessions() as session:
        rows = session.execute(text("SELECT status FROM jobs WHERE id = ANY(:ids)"), {"ids": job_ids})
        return Counter(rows.scalars())


@pytest.fixture
def other(sessions: Sessions) -> Caller:
    return tables.tenant(sessions, "other")


def test_many_that_expire_at_once_are_ended_in_rounds(
    sessions: Sessions, caller: Caller, other: Caller, sweeper: Sweeper
) -> None:
    """A round stays short however many are late, none of them can be started meanwhile, and each tenant has a share
    in each round, however much earlier another's expired."""
    crowd = tables.copies(sessions, submitted(sessions, caller, max_queue_s=1800), 599)
    few = [submitted(sessions, other, max_queue_s=3600) for _ in range(3)]
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET expires_at = expires_at - interval '1 hour'"))
    sweep(sweeper)
    assert statuses(sessions, few) == {"expired": 3}
    assert statuses(sessions, crowd)["expired"] in (496, 497)
    left = next(job_id for job_id in crowd if status(sessions, job_id) != "expired")
    tables.dispatch(sessions, left)
    assert tables.claim(sessions, left) is None
    sweep(sweeper)
    assert statuses(sessions, crowd) == {"expired": 599}


def test_many_that_never_started_are_ended_whole_in_a_few_statements(
    sessions: Sessions, caller: Caller, other: Caller
) -> None:
    """Each with an output, its usage and its webhooks' messages; the number of statements doesn't grow with them."""
    webhook = hooks.endpoint(sessions, caller)
    named = {"url": "https://example.com/one", "events": ["job.expired"]}
    late = tables.copies(sessions, tables.submit(sessions, caller, webhook=named).id, 40)
    theirs = tables.copies(sessions, tables.submit(sessions, other).id, 40)
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET expires_at = now() - interval '1 s'"))
    sent: list[str] = []
    with sessions.begin() as session:
        engine = session.get_bind()
        event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
        closings = endings.expire(session, 1000)
    assert len(closings) == 82
    assert len(sent) < 20
    assert statuses(sessions, late + theirs) == {"expired": 80}
    assert {tuple(tables.usage_rows(sessions, job_id)) for job_id in late + theirs} == {((0, 0),)}
    deliveries = hooks.listed(sessions, caller)
    assert {(found.endpoint_id, found.url, found.type) for found in deliveries} == {
        (webhook.id, None, "job.expired"),
        (None, named["url"], "job.expired"),
    }
    assert len(deliveries) == 82
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM job_outputs WHERE entries::text = '[]'")) == 82
        assert jobs.get(session, caller, late[0]).as_json()["error"] is None
        unspent = text("SELECT count(*) FROM jobs WHERE prompt_tokens = 0 AND completion_tokens = 0")
        assert session.scalar(unspent) == 82


def test_tenant_with_many_webhooks_has_fewer_jobs_ended_in_a_round(
    sessions: Sessions, caller: Caller, other: Caller, sweeper: Sweeper
) -> None:
    """Each end is a message to each: a round writes so many of a tenant's, and keeps no other's."""
    for _ in range(9):
        hooks.endpoint(sessions, caller)
    crowd = tables.copies(sessions, submitted(sessions, caller, max_queue_s=3600), 120)
    few = tables.copies(sessions, submitted(sessions, other, max_queue_s=3600), 120)
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET expires_at = expires_at - interval '1 hour'"))
    sweep(sweeper)
    assert statuses(sessions, few) == {"expired": 120}
    assert 99 <= statuses(sessions, crowd)["expired"] <= 100
    sweep(sweeper)
    assert statuses(sessions, crowd) == {"expired": 120}


def test_job_of_another_comes_due_in_the_first_round_beside_a_storm(
    sessions: Sessions, caller: Caller, other: Caller, client: redis.Redis, post: Post
) -> None:
    """Thousands of one tenant came due long before: the other's is queued and sent by the round that finds it due.

    Also where the statistics are of an hour without jobs, by which a join of those that are due looks cheap to repeat.
    """
    with sessions.begin() as session:
        session.execute(text("ANALYZE jobs"))
    sweeper = made(sessions, client, post, lease_s=60)  # the worker must live however long the storm takes to make
    tables.worker(sessions)
    hour = dt.timedelta(hours=1)
    storm = submitted(sessions, caller, run_at=now(sessions) + hour)
    tables.copies(sessions, storm, 3000)
    late = submitted(sessions, caller, run_at=now(sessions) + hour, max_queue_s=1)
    tables.copies(sessions, late, 3000)
    theirs = submitted(sessions, other, run_at=now(sessions) + 2 * hour)
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET due_at = due_at - :by, expires_at = expires_at - :by"), {"by": 2 * hour})
    sweep(sweeper)
    assert status(sessions, theirs) == "dispatched"
    assert (str(theirs), "alpha.interactive") in post.sent


def test_late_jobs_never_enter_the_window_nor_are_sent_again(
    sessions: Sessions, caller: Caller, other: Caller, client: redis.Redis, post: Post
) -> None:
    """However many of them stand before it, another's job takes the first place, and those in the window take none."""
    tables.worker(sessions, slots=2)
    late = tables.copies(sessions, submitted(sessions, caller, max_queue_s=3600), 1000)
    tables.dispatch(sessions, *late[:4])
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET expires_at = expires_at - interval '1 hour', dispatched_at = :long"),
                        {"long": now(sessions) - dt.timedelta(hours=1)})  # fmt: skip
    theirs = tables.submit(sessions, other).id
    held = made(sessions, client, post)
    with sessions.begin() as session:
        session.execute(text("SELECT 1 FROM jobs WHERE expires_at IS NOT NULL FOR UPDATE"))  # so that they stay
        sweep(held)
    assert [job_id for job_id, _ in post.sent] == [str(theirs)]


def test_late_job_is_not_let_straight_into_the_window(sessions: Sessions, caller: Caller) -> None:
    """It can be late by the end of its own submission."""
    tables.worker(sessions)
    job_id = submitted(sessions, caller, max_queue_s=3600)
    tables.backdate(sessions, job_id, dt.timedelta(hours=1))
    with sessions.begin() as session:
        assert window.admit(session, job_id, "alpha", "generate", "interactive", tables.LEASE_S) is None
    assert status(sessions, job_id) == "queued"


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
