"""Counts of a batch's lines, however many look at once."""

import uuid

import pytest

from db.session import Sessions
from tasks.batches import counting
from tasks.batches.counting import Counting
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import tables


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
