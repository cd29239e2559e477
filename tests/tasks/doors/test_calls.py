"""The register of calls, on a real Redis: who waits for what, who may take it over, and what nobody waits for."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from tasks import ids
from tasks.doors import calls
from tasks.doors.calls import Asked, Calls
from tasks.keys import Caller

CALLER = Caller(uuid.UUID(int=1), "key_1")
PATH, BODY = "/v1/chat/completions", b'{"model": "m"}'


@pytest.fixture
def asked() -> Asked:
    return Asked.of(CALLER, PATH, BODY)


@pytest.fixture
def register(client: redis.Redis) -> Calls:
    return Calls(client)


def lapse(client: redis.Redis, asked: Asked, job_id: uuid.UUID, ago_s: float = 0.1) -> None:
    """Its request has said nothing for longer than its lease."""
    seconds, micros = client.time()
    for key in (calls._ALL, asked.key):
        client.zadd(key, {asked.member(job_id): seconds + micros / 1e6 - ago_s})


def impatient() -> bool:
    """A retry whose client doesn't wait for what becomes of the call."""
    return True


def test_calls_are_equal_when_key_path_and_body_are(asked: Asked) -> None:
    """No two of these run into each other."""
    others = [
        Asked.of(Caller(uuid.UUID(int=1), "key_2"), PATH, BODY),
        Asked.of(CALLER, "/v1/completions", BODY),
        Asked.of(CALLER, PATH, BODY + b" "),
        Asked.of(Caller(uuid.UUID(int=1), "key_1/v1"), PATH.removeprefix("/v1"), BODY),
    ]
    assert Asked.of(CALLER, PATH, BODY) == asked
    assert asked.digest not in {other.digest for other in others}
    assert len({other.digest for other in others}) == len(others)


def test_call_that_was_left_is_joined_once(register: Calls, asked: Asked) -> None:
    """The second retry finds that somebody waits for it again."""
    job_id = ids.new()
    register.open(asked, job_id)
    register.leave(asked, job_id)
    assert register.join(asked) == job_id
    assert register.join(asked, impatient) is None


def test_of_many_retries_at_once_one_joins(register: Calls, asked: Asked) -> None:
    job_id = ids.new()
    register.open(asked, job_id)
    register.leave(asked, job_id)
    with ThreadPoolExecutor(8) as threads:
        joined = list(threads.map(lambda _: register.join(asked, impatient), range(8)))
    assert sorted(joined, key=str) == sorted([job_id, *[None] * 7], key=str)


def test_call_whose_request_says_nothing_any_more_is_joined(client: redis.Redis, register: Calls, asked: Asked) -> None:
    """Its process died, or nobody knows yet that its client is gone: the retry waits for that."""
    job_id = ids.new()
    register.open(asked, job_id)
    waits = threading.Event()

    def left() -> bool:
        waits.set()
        return False

    with ThreadPoolExecutor(1) as threads:
        joined = threads.submit(register.join, asked, left)
        waits.wait()
        lapse(client, asked, job_id)
        assert joined.result() == job_id


def test_equal_calls_whose_clients_are_there_stay_apart(register: Calls, asked: Asked) -> None:
    """Each is kept; a retry gets the one that was left."""
    first, second = ids.new(), ids.new()
    for job_id in (first, second):
        register.open(asked, job_id)
        register.keep(asked, job_id)
    assert register.join(asked, impatient) is None
    register.leave(asked, second)
    assert register.join(asked) == second


def test_answered_call_cannot_be_joined(client: redis.Redis, register: Calls, asked: Asked) -> None:
    """Nor kept, nor left, nor ended."""
    job_id = ids.new()
    register.open(asked, job_id)
    register.close(asked, job_id)
    register.close(asked, job_id)
    register.keep(asked, job_id)
    register.leave(asked, job_id)
    assert register.join(asked) is None
    assert client.zcard(calls._ALL) == 0


def test_forsaken_calls_are_given_out_once(client: redis.Redis, register: Calls, asked: Asked) -> None:
    """Those that nobody has waited for during the grace, at most as many as asked for; then no retry finds them."""
    gone, left, there = ids.new(), ids.new(), ids.new()
    for job_id in (gone, left, there):
        register.open(asked, job_id)
    lapse(client, asked, gone, calls.GRACE_S + 1)
    lapse(client, asked, left, calls.GRACE_S - 5)
    assert calls.forsaken(client, 10) == []  # nobody has looked before: those that wait may have had no way to say so
    client.hset(calls._LOOKS, "since", client.time()[0] - 60)
    assert calls.forsaken(client, 0) == []
    assert calls.forsaken(client, 10) == [(CALLER.tenant_id, gone)]
    assert calls.forsaken(client, 10) == []
    assert register.join(asked) == left


def test_without_redis_nothing_is_known(asked: Asked) -> None:
    """And nothing fails: a retry is a job of its own."""
    register = Calls(redis.Redis(host="127.0.0.1", port=1))
    register.open(asked, ids.new())
    register.close(asked, ids.new())
    assert register.join(asked) is None


def test_register_forgets_who_asked_what(client: redis.Redis, register: Calls, asked: Asked) -> None:
    """However many a client has made: what it left long ago isn't there when it makes the next."""
    client.zadd(asked.key, {asked.member(ids.new()): number for number in range(5000)})
    register.open(asked, ids.new())
    assert client.zcard(asked.key) == 1
    assert 0 < client.ttl(asked.key) <= calls._KEPT_S
