"""How many connections to PostgreSQL our processes may open, and whether it has room for them."""

import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db import backends
from db.backends import Backend
from db.session import Transactions, told

log = structlog.get_logger(__name__)

API_REQUESTS = 8  # of a process, at a time
_API_BESIDE = 8  # for keys that aren't known yet, three probes, the follower, the refiller
_SLOTS = 8  # of a worker have one each, and more slots take turns: a job holds one for milliseconds
_WORKER_BESIDE = 3  # for the refiller, the sweep's wake-ups, the courier or the words that are counted
WORKER_UPKEEP = 3  # for the heartbeat and the sweep
_INDEXING = 1  # of a worker that embeds
COMMANDS = 5  # left to an operator: `forebay` itself, a backup, a look with psql

_NAME = re.compile(r"forebay/(\d{1,5}) \S")
_LONGEST_HOST = 30  # PostgreSQL keeps 63 bytes of a name, and what tells processes apart must be among them


def of_api() -> int:
    """The most that a process of the API opens."""
    return API_REQUESTS + _API_BESIDE


def of_runs(slots: int) -> int:
    """The most that a worker's slots and threads open, beside `WORKER_UPKEEP`."""
    return min(slots, _SLOTS) + _WORKER_BESIDE


def of_worker(slots: int, *, embeds: bool) -> int:
    """The most that a worker with so many slots opens."""
    return of_runs(slots) + WORKER_UPKEEP + _INDEXING * embeds


def named(who: str, most: int) -> Callable[[], str]:
    """What a process is to call its connections, when it makes them: it has at most so many.

    So `look` finds which processes there are, also of the API, which are written down nowhere.
    """
    return lambda: f"forebay/{most} {socket.gethostname()[-_LONGEST_HOST:]}:{os.getpid()} {who}"


@dataclass(frozen=True, slots=True)
class Room:
    """`processes` of ours that are connected have `opened` connections and may open `wanted`, of `most` that the
    narrowest limit leaves beside what others have; `limit` is its name."""

    processes: int
    opened: int
    wanted: int
    most: int
    limit: str

    @property
    def fits(self) -> bool:
        """True when there is room for what processes may open, and for an operator's commands."""
        return self.wanted + COMMANDS <= self.most

    @property
    def sentence(self) -> str:
        """For an operator."""
        told = (
            f"{self.processes} processes may open {self.wanted} connections to PostgreSQL, and have {self.opened};"
            f" {self.limit} leaves {self.most}"
        )
        if self.fits:
            return told
        return f"{told}: raise it by {self.wanted - self.most + COMMANDS}, or start fewer processes or slots"


def look(session: Session) -> Room:
    """What is connected now, counted. Only processes that have a connection are known.

    Through a pooler that shares connections out by the transaction it says little: whose they are changes all the time.
    Raises SQLAlchemy's errors.
    """
    there, limits = backends.found(session), backends.limits(session)
    ours = [backend.name for backend in there if _most(backend)]
    may_open = {backend.name: _most(backend) for backend in there}
    others = [backend for backend in there if not _most(backend)]
    left = [
        (limits.server - len(others), "max_connections, less what is reserved and what others have open,"),
        (_less(limits.role, sum(one.same_role for one in others)), "the role's CONNECTION LIMIT"),
        (_less(limits.database, sum(one.same_database for one in others)), "the database's CONNECTION LIMIT"),
    ]
    most, limit = min((most, limit) for most, limit in left if most is not None)
    return Room(len(set(ours)), len(ours), sum(may_open.values()), max(0, most), limit)


def warn(sessions: Transactions) -> None:
    """`look`, which a process does when it starts: a line in its log says so where there isn't room for all.

    The last to start sees all others. Raises nothing: where PostgreSQL can't be asked, the log says why.
    """
    try:
        with sessions.begin() as session:
            room = look(session)
    except SQLAlchemyError as error:
        log.warning("connections_not_counted", error=told(error))
        return
    if not room.fits:
        log.warning("connections_may_run_out", wanted=room.wanted, most=room.most, reason=room.sentence)


def _most(backend: Backend) -> int:
    """How many the connection's process may have; 0 where it is none of ours."""
    match = _NAME.match(backend.name or "") if backend.same_database else None
    return int(match[1]) if match else 0


def _less(limit: int | None, others: int) -> int | None:
    return None if limit is None else limit - others
