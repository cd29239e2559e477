"""What one job asks of PostgreSQL and Redis, counted: speed follows the machine, this doesn't."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.connection import AbstractConnection
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from db import session as db_session
from db.session import Sessions
from tasks.doors.submitting import Desk
from tasks.keys import Caller
from tasks.queues import broker
from tasks.queues.window import WakeUp
from tests import tables
from tests.workers.conftest import MakeWorker, make_worker
from workers import run

__all__ = ["make_worker"]


@dataclass(frozen=True, slots=True)
class Count:
    """`transactions` are those that PostgreSQL ended, each of which waits for the disk once."""

    round_trips: int
    transactions: int
    wal_bytes: int
    redis_round_trips: int


@dataclass(frozen=True, slots=True)
class Post:
    """Sends wake-ups at once, where a process of the API has a thread for that."""

    sender: broker.Sender

    def deliver(self, queue: str, wake_up: WakeUp | None) -> None:
        assert wake_up is not None, f"{queue} had no room"
        self.sender.send(wake_up.job_id, wake_up.queue)


@contextmanager
def traced(engine: Engine, file: Path) -> Iterator[None]:
    """Has libpq write down every message that the engine's connections exchange."""
    with file.open("wb") as log:
        watch = lambda connection, _: connection.pgconn.trace(log.fileno())  # noqa: E731
        event.listen(engine, "connect", watch)
        engine.dispose()
        try:
            yield
        finally:
            event.remove(engine, "connect", watch)
            engine.dispose()


@pytest.fixture
def count(
    postgres_url: str,
    sessions: Sessions,
    make_worker: MakeWorker,
    caller: Caller,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Callable[[], Count]]:
    """Counts what a job takes from its submission to its end, at a desk and in a worker that have had others."""
    engine, trace = db_session.open_engine(postgres_url, pool_size=4), tmp_path / "trace"
    worker = make_worker()
    worker.sessions = db_session.open_sessions(engine)
    sender = broker.Sender(redis_url, timeout_s=5)
    desk = Desk(worker.sessions, tables.LEASE_S, waker=Post(sender))
    asked = tables.submission(input={"prompt": "one"}, params={"max_tokens": 1})

    def through() -> None:
        job, _ = desk.accept(caller, lambda session: tables.plan(session, caller, asked))
        run.run(worker, job.id)
        assert tables.column(sessions, job.id, "status") == "succeeded"

    def counted() -> Count:
        for _ in range(6):  # until its statements are prepared
            through()
        at, wal = trace.stat().st_size, _wal(sessions)
        sent.clear()
        through()
        wal = _wal(sessions) - wal
        messages = [line.split("\t") for line in trace.read_text()[at:].splitlines()]
        asked = sum(message[3] in ("Sync", "Query") for message in messages)
        over = sum(message[3] == "ReadyForQuery" and message[4].strip() == "I" for message in messages)
        return Count(asked, over, wal, len(sent))

    sent = _sent(monkeypatch)
    with traced(engine, trace):
        yield counted
    sender.close()


def _wal(sessions: Sessions) -> int:
    with sessions() as session:
        return int(session.scalar(text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")) or 0)


def _sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What redis-py sends from now on, a packet for each round trip."""
    sent: list[Any] = []
    send = AbstractConnection.send_packed_command

    def noted(self: AbstractConnection, command: Any, check_health: bool = True) -> Any:
        sent.append(command)
        return send(self, command, check_health)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", noted)
    return sent


def test_one_job_costs_what_it_may(count: Callable[[], Count]) -> None:
    """Three statements, each a transaction of its own, which waits for the disk once; a wake-up, and the writes to its
    stream: its beginning, its token, its end.
    """
    found = count()
    assert (found.round_trips, found.transactions) == (3, 3)
    assert found.wal_bytes < 2_500
    assert found.redis_round_trips == 4
