"""Redis, as broker and as carrier of streams: whether it is there, keeps what it is given, and has room."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import redis
from redis.exceptions import NoPermissionError

from cli.operator.doctor.finding import Finding, Installation, ok, warning, wrong
from tasks.operating import brokers

_PART, _BROKER = "Redis", "Redis of the broker"
_OLDEST = (6, 2)
_FULL = 0.8


def reachable(installation: Installation) -> Iterator[Finding]:
    """Each takes a write, and is 6.2 or later."""
    for name, client in _each(installation):
        try:
            client.set("forebay:probe", b"", ex=60)
        except NoPermissionError as error:
            seen = f"its user may not write: {error}"
            yield (warning if name == _BROKER else wrong)(name, seen, "let it write keys that begin with forebay:")
        except redis.ResponseError as error:
            yield wrong(name, f"it takes no writes: {error}", "make room on its disk, or raise its maxmemory")
        except redis.RedisError as error:
            yield wrong(name, f"it can't be asked: {error}", "start it, or mend its URL")
        else:
            yield judged(name, _told(client))


def judged(name: str, told: Mapping[str, Any] | None) -> Finding:
    if told is None:
        return warning(name, "it answers, and refuses INFO", "see to its version (6.2 or later) and memory yourself")
    version = str(told.get("redis_version", ""))
    numbers = tuple(map(int, re.findall("[0-9]+", version)[:2]))
    if not numbers:
        return warning(name, f"it answers, and calls its version {version!r}", "see that it is 6.2 or later")
    if numbers < _OLDEST:
        return wrong(name, f"its version is {version}", "it must be 6.2 or later")
    return ok(name, f"{version} answers")


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
        told = _told(client)
        if told is None or "used_memory" not in told:
            continue  # `reachable` has said so
        used, most = int(told["used_memory"]), int(told.get("maxmemory", 0)) or int(told.get("total_system_memory", 0))
        seen = f"{used / 1e6:,.0f} of {most / 1e6:,.0f} MB are used"
        if most and used > _FULL * most:
            yield warning(name, seen, "raise its maxmemory")
        else:
            yield ok(name, seen)


def _told(client: redis.Redis) -> Mapping[str, Any] | None:
    """INFO, which managed ones may refuse: then None. Raises redis-py's errors when it can't be reached."""
    try:
        told: Any = client.info()
    except redis.ResponseError:
        return None
    return cast(Mapping[str, Any], told)


def _each(installation: Installation) -> list[tuple[str, redis.Redis]]:
    if installation.settings.broker_url == installation.settings.redis_url:
        return [(_PART, installation.streams)]
    return [(f"{_PART} of streams", installation.streams), (_BROKER, installation.broker)]
