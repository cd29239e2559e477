"""Jobs of calls whose clients are gone are ended, whoever took the call, and those of others aren't."""

import uuid
from collections.abc import Callable, Iterator

import pytest
import redis

from db.session import Sessions
from tasks.doors import calls
from tasks.doors.calls import Asked, Calls
from tasks.doors.submitting import Desk
from tasks.keys import Caller
from tasks.queues.window import WakeUp
from tests import tables
from tests.support.waiting import until
from webapi.forsaking import Forsaking


class Deaf:
    """Is told of the queues that have room, and does nothing."""

    def deliver(self, queue: str, wake_up: WakeUp | None) -> None:
        pass


@pytest.fixture
def forsaking(sessions: Sessions, client: redis.Redis) -> Iterator[Forsaking]:
    made = Forsaking(Desk(sessions, tables.LEASE_S, waker=Deaf(), client=client), client)
    now_s = client.time()[0]
    client.hset(calls._LOOKS, mapping={"last": now_s, "since": now_s - 60})  # somebody has looked all the time
    yield made
    made.stop()


@pytest.fixture
def called(sessions: Sessions, client: redis.Redis, caller: Caller) -> Callable[[float], uuid.UUID]:
    """Makes a job whose request is known to have waited until so many seconds ago."""

    def make(ago_s: float) -> uuid.UUID:
        job_id = tables.submit(sessions, caller).id
        asked = Asked.of(caller, "/v1/chat/completions", job_id.bytes)
        Calls(client).open(asked, job_id)
        client.zadd(calls._ALL, {asked.member(job_id): client.time()[0] - ago_s})
        return job_id

    return make


def test_job_that_nobody_waits_for_is_ended_after_a_grace(
    sessions: Sessions, forsaking: Forsaking, called: Callable[[float], uuid.UUID]
) -> None:
    """By whichever process looks first; one whose client left just now goes on."""
    gone, left, there = called(calls.GRACE_S + 1), called(1), called(-60)
    forsaking.end_forsaken()
    ends = {job_id: tables.column(sessions, job_id, "status") for job_id in (gone, left, there)}
    assert ends == {gone: "cancelled", left: "queued", there: "queued"}


def test_job_that_has_ended_or_is_gone_doesnt_hold_up_the_others(
    sessions: Sessions, client: redis.Redis, forsaking: Forsaking, called: Callable[[float], uuid.UUID]
) -> None:
    client.zadd(calls._ALL, {f"{uuid.uuid4().hex}.{uuid.uuid4().hex}": 1})
    job_id = called(calls.GRACE_S + 1)
    forsaking.end_forsaken()
    assert tables.column(sessions, job_id, "status") == "cancelled"


def test_call_sets_the_watch_going(
    sessions: Sessions, forsaking: Forsaking, called: Callable[[float], uuid.UUID]
) -> None:
    """Its thread starts with the first one, and looks as long as there may be a call to end."""
    first = called(calls.GRACE_S + 1)
    forsaking.watch()
    until(lambda: tables.column(sessions, first, "status") == "cancelled")
    second = called(calls.GRACE_S + 1)
    until(lambda: tables.column(sessions, second, "status") == "cancelled")


def test_redis_out_of_reach_ends_nothing(forsaking: Forsaking) -> None:
    forsaking.client = redis.Redis(host="127.0.0.1", port=1)
    forsaking.end_forsaken()


def test_calls_are_not_ended_for_what_they_could_not_say(
    sessions: Sessions, client: redis.Redis, forsaking: Forsaking, called: Callable[[float], uuid.UUID]
) -> None:
    """After a time in which Redis was out of reach all calls look forsaken: those that wait say so within a lease."""
    job_id = called(calls.GRACE_S + 1)
    client.hset(calls._LOOKS, "last", client.time()[0] - 20)
    forsaking.end_forsaken()
    forsaking.end_forsaken()
    assert tables.column(sessions, job_id, "status") == "queued"
    client.hset(calls._LOOKS, "since", client.time()[0] - 20)  # a lease later it has still said nothing
    forsaking.end_forsaken()
    assert tables.column(sessions, job_id, "status") == "cancelled"
