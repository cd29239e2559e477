"""What Redis is set to: whether it keeps what we give it, as a broker and as the carrier of streams must."""

from dataclasses import dataclass
from typing import Any

import redis
import structlog

log = structlog.get_logger(__name__)

_KEEPS_ALL = "noeviction"


@dataclass(frozen=True, slots=True)
class Kept:
    """`eviction` is Redis' `maxmemory-policy`, `appends` its `appendonly`; None of what it wouldn't tell."""

    eviction: str | None
    appends: bool | None

    @property
    def told(self) -> bool:
        return self.eviction is not None and self.appends is not None

    @property
    def faults(self) -> tuple[str, ...]:
        """For an operator: what isn't as it should be, and what to do; none where all is well, or nothing is known."""
        found = []
        if self.eviction not in (None, _KEEPS_ALL):
            found.append(
                f"Redis' maxmemory-policy is {self.eviction}: short of memory, it drops messages and streams without a"
                f" word; set it to {_KEEPS_ALL}"
            )
        if self.appends is False:
            found.append(
                "Redis' appendonly is no: when it restarts, what was written since its last snapshot is gone; jobs are"
                " sent again, but readers may have to begin anew; set it to yes"
            )
        return tuple(found)


def look(client: redis.Redis) -> Kept:
    """Asks Redis; managed ones often refuse one way or the other. Raises redis-py's errors when it can't be reached."""
    for ask in (_by_info, _by_config):
        try:
            return ask(client)
        except (redis.ResponseError, KeyError):  # refused, or a server that speaks Redis' language only in part
            continue
    return Kept(None, None)


def warn(*clients: redis.Redis) -> None:
    """`look` at each, which a process does when it starts: a line in its log for each fault. Raises nothing."""
    for client in dict.fromkeys(clients):
        try:
            kept = look(client)
        except redis.RedisError as error:
            log.warning("redis_not_asked", error=str(error))
            continue
        for fault in kept.faults:
            log.warning("redis_may_lose", reason=fault)
        if not kept.told:
            log.info("redis_not_telling", reason="it refuses both INFO and CONFIG GET: see to its settings yourself")


def _by_info(client: redis.Redis) -> Kept:
    told: Any = client.info()
    return Kept(told["maxmemory_policy"], bool(told["aof_enabled"]))


def _by_config(client: redis.Redis) -> Kept:
    told: Any = {**_got(client, "maxmemory-policy"), **_got(client, "appendonly")}
    return Kept(told["maxmemory-policy"], told["appendonly"] == "yes")


def _got(client: redis.Redis, name: str) -> dict[str, str]:
    got: Any = client.config_get(name)
    return {_text(key): _text(value) for key, value in got.items()}


def _text(told: str | bytes) -> str:
    return told if isinstance(told, str) else told.decode()
