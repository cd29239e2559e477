"""Results of batches, however many look at once."""

import datetime as dt
import uuid

import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks.batches import counting, results
from tasks.batches.counting import Counting
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import tables

_BATCH = """
INSERT INTO batches (job_id, tenant_id, endpoint, input_file_id, completion_window, expires_at)
VALUES (:id, :tenant, '/v1/chat/completions', :id, '24h', now())
"""


def begun(sessions: Sessions, caller: Caller) -> uuid.UUID:
    """A batch of two lines, the first of which has ended."""
    batch_id = tables.parent(sessions, caller, children=2, goes_on_in="alpha")
    with sessions.begin() as session:
        session.execute(text(_BATCH), {"id": batch_id, "tenant": caller.tenant_id})
    end(sessions, batch_id, 0)
    return batch_id


def end(sessions: Sessions, batch_id: uuid.UUID, place: int) -> None:
    with sessions.begin() as session:
        tables.put(
            session, tables.children(sessions, batch_id)[place], Status.SUCCEEDED, finished_at=dt.datetime.now(dt.UTC)
        )


def seen(sessions: Sessions, caller: Caller, batch_id: uuid.UUID, counting: Counting) -> list[int]:
    """The places of the results that there are for one who looks."""
    with sessions.begin() as session:
        results.look(session, caller, batch_id, counting)
        return [result.line.place for result in results.page(session, batch_id, 0, 10)]


def test_what_took_long_to_number_rests(sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the batch has ended: then all that it came to is there."""
    monkeypatch.setattr(counting, "_REST", 10**9)
    kept = Counting()
    batch_id = begun(sessions, caller)
    assert seen(sessions, caller, batch_id, kept) == [0]
    end(sessions, batch_id, 1)
    assert seen(sessions, caller, batch_id, kept) == [0]
    assert seen(sessions, caller, batch_id, Counting()) == [0, 1]
    other = begun(sessions, caller)
    assert seen(sessions, caller, other, kept) == [0]
    end(sessions, other, 1)
    with sessions.begin() as session:
        session.execute(text("UPDATE batches SET ending = 'completed', ended_at = now()"))
    assert seen(sessions, caller, other, kept) == [0, 1]
