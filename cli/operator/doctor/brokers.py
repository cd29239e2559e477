"""Redis, as broker and as carrier of streams: whether it is there, keeps what it is given, and has room."""

from collections.abc import Iterator
from typing import Any

import redis

from cli.operator.doctor.finding import Finding, Installation, ok, warning, wrong
from tasks.operating import brokers

_PART = "Redis"
_OLDEST = (6, 2)
_FULL = 0.8


def reachable(installation: Installation) -> Iterator[Finding]:
    """Each answers a write, and is 6.2 or later."""
    for name, client in _each(installation):
        try:
            client.set("forebay:probe", b"", ex=60)
            told: Any = client.info()
        except redis.ResponseError as error:
            if "NOPERM" not in str(error):
                yield wrong(name, f"it takes no writes: {error}", "make room on its disk, or raise its maxmemory")
        except redis.RedisError as error:
            yield wrong(name, f"it can't be asked: {error}", "start it, or mend its URL")
        else:
            version = str(told.get("redis_version", "0"))
            if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
                yield wrong(name, f"its version is {version}", "it must be 6.2 or later")
            else:
                yield ok(name, f"{version} answers")


def keeps(installation: Installation) -> Iterator[Finding]:
    """Each keeps what it is given: nothing is evicted, and a restart loses nothing."""
    for name, client in _each(installation):
        kept = brokers.look(client)
        for fault in kept.faults:
            seen, _, advice = fault.rpartition("; ")
            yield warning(name, seen, advice)
        if not kept.told:
            yield warning(name, "it doesn't tell how it is set", "see to appendonly and maxmemory-policy yourself")
        elif not kept.faults:
            yield ok(name, "it evicts nothing and writes down what it is given")


def memory(installation: Installation) -> Iterator[Finding]:
    """Each has memory left: beyond it, writes are refused."""
    for name, client in _each(installation):
        told: Any = client.info("memory")
        used, most = int(told["used_memory"]), int(told.get("maxmemory", 0)) or int(told.get("total_system_memory", 0))
        seen = f"{used / 1e6:,.0f} of {most / 1e6:,.0f} MB are used"
        if most and used > _FULL * most:
            yield warning(name, seen, "raise its maxmemory")
        else:
            yield ok(name, seen)


def _each(installation: Installation) -> list[tuple[str, redis.Redis]]:
    if installation.settings.broker_url == installation.settings.redis_url:
        return [(_PART, installation.streams)]
    return [(f"{_PART} of streams", installation.streams), (f"{_PART} of the broker", installation.broker)]
