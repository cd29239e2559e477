"""The register of calls: what it remembers, and for how long."""

import uuid
from collections.abc import Iterator

import pytest
import redis

from tasks import ids
from tasks.doors import calls
from tasks.doors.calls import Asked, Calls
from tasks.keys import Caller

CALLER = Caller(uuid.UUID(int=1), "key")
ASKED = Asked.of(CALLER, "/v1/completions", b"asked")


@pytest.fixture
def register(client: redis.Redis) -> Iterator[Calls]:
    yield Calls(client)
    client.delete("forebay:calls", ASKED.key)


def test_call_whose_client_is_gone_is_joined_once(register: Calls) -> None:
    """By an equal one; what it joined it has from then on."""
    job_id = ids.new()
    register.open(ASKED, job_id)
    register.leave(ASKED, job_id)
    assert register.join(ASKED) == job_id
    assert register.join(ASKED, lambda: True) is None
    assert register.join(Asked.of(CALLER, "/v1/completions", b"other")) is None


def test_call_that_was_answered_or_ended_is_joined_by_nobody(register: Calls, client: redis.Redis) -> None:
    answered, ended = ids.new(), ids.new()
    for job_id in (answered, ended):
        register.open(ASKED, job_id)
        register.leave(ASKED, job_id)
    register.close(ASKED, answered)
    client.zadd("forebay:calls", {ASKED.member(ended): 1})
    assert calls.forsaken(client, 10) == [(CALLER.tenant_id, ended)]
    assert register.join(ASKED) is None


def test_equal_calls_that_were_left_are_forgotten_with_time(register: Calls, client: redis.Redis) -> None:
    """However many a client has made: what it left long ago isn't there when it makes the next."""
    client.zadd(ASKED.key, {ASKED.member(ids.new()): number for number in range(5000)})
    register.open(ASKED, ids.new())
    assert client.zcard(ASKED.key) == 1
    assert 0 < client.ttl(ASKED.key) <= 60
