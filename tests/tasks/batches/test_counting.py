"""Counts of a batch's lines, however many look at once."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text

from db.session import Sessions
from tasks.batches import counting
from tasks.batches.counting import Counting
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import tables
from tests.support import waiting


@pytest.fixture
def batch_id(sessions: Sessions, caller: Caller) -> uuid.UUID:
    return tables.parent(sessions, caller, children=3, goes_on_in="alpha")


def counted(sessions: Sessions, counting: Counting, batch_id: uuid.UUID) -> dict[str, int]:
    with sessions.begin() as session:
        return {status: number for status, number, _ in counting.of(session, batch_id)}


def end_one(sessions: Sessions, batch_id: uuid.UUID) -> None:
    with sessions.begin() as session:
        tables.put(session, tables.children(sessions, batch_id)[0], Status.SUCCEEDED)


def test_lines_are_counted_by_their_statuses(sessions: Sessions, batch_id: uuid.UUID) -> None:
    end_one(sessions, batch_id)
    assert counted(sessions, Counting(), batch_id) == {"queued": 2, "succeeded": 1}


def test_what_took_long_isnt_counted_again_at_once(
    sessions: Sessions, batch_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another batch's, or once its rest is over, it is."""
    monkeypatch.setattr(counting, "_REST", 10**9)
    kept = Counting()
    before = counted(sessions, kept, batch_id)
    end_one(sessions, batch_id)
    assert counted(sessions, kept, batch_id) == before
    monkeypatch.setattr(counting, "_REST", 0)
    rested = Counting()
    counted(sessions, rested, batch_id)
    assert counted(sessions, rested, batch_id) == {"queued": 2, "succeeded": 1}


COUNTS = "FROM jobs \nWHERE jobs.parent_id IN"
WAITS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%jobs.parent_id IN%'"
)


def waiters(sessions: Sessions) -> int:
    """How many wait for a lock at this moment."""
    with sessions.begin() as session:
        return session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) or 0


@pytest.mark.parametrize("counted_before", [False, True])
def test_who_asks_while_another_counts_doesnt_count(
    sessions: Sessions, batch_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch, counted_before: bool
) -> None:
    """Those who come first wait for one of them; later ones are told at once what was counted before."""
    kept, times = Counting(), list[str]()
    monkeypatch.setattr(counting, "_REST", 0 if counted_before else 10**9)
    if counted_before:
        counted(sessions, kept, batch_id)

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if COUNTS in statement:
            times.append(statement)

    engine = sessions.kw["bind"]
    event.listen(engine, "before_cursor_execute", note)
    try:
        with ThreadPoolExecutor(4) as pool:
            with sessions.begin() as holds:
                holds.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
                asked = [pool.submit(counted, sessions, kept, batch_id) for _ in range(4)]
                waiting.until(lambda: waiters(sessions))
                if counted_before:
                    waiting.until(lambda: sum(one.done() for one in asked) == 3)
            assert [one.result() for one in asked] == [{"queued": 3}] * 4
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(times) == 1
