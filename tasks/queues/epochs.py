"""Redis keeps to the database's epoch: when the database has gone back, what Redis has of us is dropped.

It would tell of a time that never was: streams with more than their jobs have said, ends of jobs that run again,
messages of jobs that aren't there. Whatever Redis loses is made anew from PostgreSQL.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from db import epochs
from db import session as db_session
from db.epochs import Epoch, Note
from db.session import Transactions
from tasks.queues import broker

log = structlog.get_logger(__name__)

_Answer = TypeVar("_Answer")
KEY = f"{broker.KEY_PREFIX}epoch"
_NOTED = ("id", "log_bytes", "replaced")


class Replaced(Exception):
    """In this Redis another epoch has replaced the database's own, so nothing of it is dropped."""


def settle(scope: Transactions, clients: Iterable[redis.Redis], told: dict[redis.Redis, str] | None = None) -> bool:
    """Finds out whether the database has gone back since Redis was last looked at, and has Redis forget what came then.

    To be called before anything is read from Redis, and now and then. `clients` are those of the streams and of the
    broker. Idempotent; any number of processes may at once. What doesn't answer is left for the next time, and told to
    the log: a caller that comes again and again keeps in `told` what was, and it isn't told twice.

    False when PostgreSQL didn't answer.
    """
    troubles: dict[redis.Redis, Exception] = {}
    # Before PostgreSQL is asked how long its log is: it grows.
    notes = _answers(dict.fromkeys(clients), _note, troubles)
    epoch: Epoch | None = None
    try:
        epoch = _current(scope, [note for note in notes.values() if note])
    except SQLAlchemyError as error:
        log.warning("epoch_unknown", error=db_session.told(error))
    if epoch:
        _answers(notes, lambda client: _keep(client, epoch), troubles)
    _tell(troubles, {} if told is None else told)
    return epoch is not None


def _current(scope: Transactions, notes: Collection[Note]) -> Epoch:
    with scope.begin() as session:
        known = epochs.current(session, notes)
    if known:
        return known
    with scope.begin() as session:
        began, jobs = epochs.begin(session, notes)
    log.warning("database_went_back", jobs=jobs)
    return began


def _answers(
    clients: Iterable[redis.Redis], ask: Callable[[redis.Redis], _Answer], troubles: dict[redis.Redis, Exception]
) -> dict[redis.Redis, _Answer]:
    """What those say that answer; what keeps the others from it goes into `troubles`."""
    found = {}
    for client in clients:
        try:
            found[client] = ask(client)
        except (redis.RedisError, Replaced) as error:
            troubles[client] = error
    return found


def _note(client: redis.Redis) -> Note | None:
    """What this Redis remembers; None where that is nothing, or can't be read, and is dropped as another epoch's."""
    noted: Any = client.hmget(KEY, _NOTED)
    id, log_bytes, replaced = ((part or b"").decode(errors="replace") for part in noted)
    try:
        return Note(Epoch(uuid.UUID(id), int(log_bytes)), frozenset(replaced.split()))
    except ValueError:
        return None


def _keep(client: redis.Redis, epoch: Epoch) -> None:
    dropped = _script(client)(keys=[KEY], args=[str(epoch.id), epoch.log_bytes, f"{broker.KEY_PREFIX}*"])
    if dropped < 0:
        raise Replaced("another database, a copy of this one, uses this Redis")
    if dropped:
        log.warning("dropped_from_redis", keys=dropped)


def _tell(troubles: Mapping[redis.Redis, Exception], told: dict[redis.Redis, str]) -> None:
    for client, error in troubles.items():
        if told.get(client) != str(error):
            _log(error)
    told.clear()
    told.update({client: str(error) for client, error in troubles.items()})


def _log(error: Exception) -> None:
    match error:
        case Replaced():
            log.error("epoch_replaced", error=str(error))
        case redis.ConnectionError() | redis.TimeoutError():
            log.warning("redis_unreachable", error=str(error))
        case _:
            log.error("redis_refused", error=str(error))


@cache
def _script(client: redis.Redis) -> Any:
    return client.register_script((Path(__file__).parent / "epochs.lua").read_text(encoding="utf-8"))
