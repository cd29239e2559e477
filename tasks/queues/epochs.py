"""Redis keeps to the database's epoch: when the database has gone back, what Redis has of us is dropped.

It would tell of a time that never was: streams with more than their jobs have said, ends of jobs that run again,
messages of jobs that aren't there. Whatever Redis loses is made anew from PostgreSQL.
"""

import uuid
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from db import epochs
from db.epochs import Epoch
from db.session import Transactions, told
from tasks.queues import broker

log = structlog.get_logger(__name__)

KEY = f"{broker.KEY_PREFIX}epoch"


def settle(scope: Transactions, clients: Iterable[redis.Redis]) -> None:
    """Finds out whether the database has gone back since Redis was last looked at, and has Redis forget what came then.

    To be called before anything is read from Redis, and now and then. `clients` are those of the streams and of the
    broker. Idempotent; any number of processes may at once. What doesn't answer is left for the next time.
    """
    each = list(dict.fromkeys(clients))
    seen = _seen(each)  # before PostgreSQL is asked how long its log is: it grows
    try:
        epoch = _current(scope, seen)
    except SQLAlchemyError as error:
        log.warning("epoch_unknown", error=told(error))
        return
    for client in each:
        _keep(client, epoch)


def _current(scope: Transactions, seen: Mapping[uuid.UUID, int]) -> Epoch:
    with scope.begin() as session:
        known = epochs.current(session, seen)
    if known:
        return known
    with scope.begin() as session:
        began, jobs = epochs.begin(session, seen)
    log.warning("database_went_back", jobs=jobs)
    return began


def _seen(clients: Iterable[redis.Redis]) -> Mapping[uuid.UUID, int]:
    """The epochs that are noted, with how long PostgreSQL's log was."""
    found: dict[uuid.UUID, int] = {}
    for client in clients:
        try:
            noted: Any = client.hmget(KEY, "id", "log_bytes")
        except redis.RedisError as error:
            log.warning("redis_unreachable", error=str(error))
            continue
        if all(noted):
            id = uuid.UUID(noted[0].decode())
            found[id] = max(found.get(id, 0), int(noted[1]))
    return found


def _keep(client: redis.Redis, epoch: Epoch) -> None:
    try:
        dropped = _script(client)(keys=[KEY], args=[str(epoch.id), epoch.log_bytes, f"{broker.KEY_PREFIX}*"])
    except redis.RedisError as error:
        log.warning("redis_unreachable", error=str(error))
        return
    if dropped:
        log.warning("dropped_from_redis", keys=dropped)


@cache
def _script(client: redis.Redis) -> Any:
    return client.register_script((Path(__file__).parent / "epochs.lua").read_text(encoding="utf-8"))
