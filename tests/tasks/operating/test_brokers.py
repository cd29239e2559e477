"""What Redis is set to, as it says itself; managed ones say it in one way only, or not at all."""

from collections.abc import Callable, Iterator

import pytest
import redis
from structlog.testing import capture_logs

from tasks.operating import brokers
from tasks.operating.brokers import Kept

As = Callable[[str], redis.Redis]


@pytest.fixture
def restricted(client: redis.Redis, redis_url: str) -> Iterator[As]:
    """A user of Redis to whom some commands are forbidden."""

    def connected(rules: str) -> redis.Redis:
        client.execute_command("ACL", "SETUSER", "restricted", "on", ">word", "~*", "+@all", *rules.split())
        return redis.Redis.from_url(redis_url, username="restricted", password="word")

    yield connected
    client.acl_deluser("restricted")


@pytest.fixture
def careless(client: redis.Redis) -> Iterator[redis.Redis]:
    """A Redis as it comes: it keeps nothing for certain, and drops what it has no room for."""
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("appendonly", "no")
    yield client
    client.config_set("appendonly", "yes")
    client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.parametrize("forbidden", ["", "-config", "-info"])
def test_settings_are_found_whatever_is_forbidden(careless: redis.Redis, restricted: As, forbidden: str) -> None:
    assert brokers.look(restricted(forbidden)) == Kept("allkeys-lru", False)


def test_faults_are_told_once_each(careless: redis.Redis) -> None:
    """Also where messages and streams are in one Redis."""
    with capture_logs() as logs:
        brokers.warn(careless, careless)
    assert [(line["event"], line["log_level"]) for line in logs] == [("redis_may_lose", "warning")] * 2
    assert "maxmemory-policy is allkeys-lru" in logs[0]["reason"]
    assert "appendonly is no" in logs[1]["reason"]


def test_redis_that_is_as_it_should_be_is_not_worth_a_line(client: redis.Redis) -> None:
    with capture_logs() as logs:
        brokers.warn(client)
    assert logs == []


def test_redis_that_tells_nothing_is_noted(careless: redis.Redis, restricted: As) -> None:
    """Nothing is known of it, so nothing is said against it."""
    with capture_logs() as logs:
        brokers.warn(restricted("-info -config"))
    assert [(line["event"], line["log_level"]) for line in logs] == [("redis_not_telling", "info")]


def test_redis_that_is_away_keeps_nobody_from_starting() -> None:
    with capture_logs() as logs:
        brokers.warn(redis.Redis(unix_socket_path="/nowhere"))
    assert [line["event"] for line in logs] == ["redis_not_asked"]
