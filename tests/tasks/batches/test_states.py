"""What stages note of a batch, each under its attempt, and once."""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db import batches as table
from db.session import Sessions
from tasks import errors, ids
from tasks.batches import states
from tasks.batches.batches import FileError
from tasks.batches.states import Wanted
from tasks.files.files import FileView
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import tables

_BATCH = """
INSERT INTO batches (job_id, tenant_id, endpoint, input_file_id, completion_window, expires_at, lines)
VALUES (:id, :tenant, '/v1/chat/completions', :id, '24h', now(), 3)
"""
_ROWS = """
SELECT (SELECT row_to_json(b)::text FROM batches AS b WHERE job_id = :id), (SELECT count(*) FROM batch_twins),
    (SELECT count(*) FROM line_digests),
    (SELECT count(*) FROM jobs)
"""
FILE = FileView(ids.new(), 1, "lines.jsonl", "batch_output", dt.datetime.now(dt.UTC), None)

Note = Callable[[Session, uuid.UUID, int], Any]


def an_earlier_line(session: Session, batch_id: uuid.UUID, attempt: int) -> None:
    """A line of another batch that has its answer, for this one to take over."""
    earlier = session.scalar(text("SELECT id FROM jobs WHERE id <> :id AND parent_id IS NULL"), {"id": batch_id})
    assert earlier is not None
    states.take_over(session, batch_id, attempt, earlier, [Wanted(0, "first", ids.new())])


def an_equal_line(session: Session, batch_id: uuid.UUID, attempt: int) -> None:
    """A line that is noted for later batches."""
    tenant_id = session.scalar(text("SELECT tenant_id FROM batches WHERE job_id = :id"), {"id": batch_id})
    assert tenant_id is not None
    states.share(session, batch_id, attempt, tenant_id, [Wanted(0, "first", ids.new(), ids.new())])


NOTES: dict[str, Note] = {
    "checked": lambda session, id, attempt: states.checked(session, id, attempt, 3, "alpha"),
    "failed": lambda session, id, attempt: states.failed(session, id, attempt, [FileError("odd", "it is odd")]),
    "finalizing": states.finalizing,
    "twins": lambda session, id, attempt: states.twins(session, id, attempt, [(1, 0, "second")]),
    "take_over": an_earlier_line,
    "share": an_equal_line,
    "kept": lambda session, id, attempt: states.kept(session, id, attempt, FILE, output=True),
    "ended": states.ended,
}


@pytest.fixture
def batch_id(sessions: Sessions, caller: Caller) -> uuid.UUID:
    """A batch whose job is run by its first attempt."""
    job_id = tables.running(sessions, caller).job_id
    with sessions.begin() as session:
        session.execute(text(_BATCH), {"id": job_id, "tenant": caller.tenant_id})
    return job_id


def end_lines(sessions: Sessions, caller: Caller, *statuses: Status) -> uuid.UUID:
    """Another batch's job, whose lines have ended so."""
    parent_id = tables.parent(sessions, caller, children=len(statuses), goes_on_in="alpha")
    with sessions.begin() as session:
        for child, status in zip(tables.children(sessions, parent_id), statuses, strict=True):
            tables.put(session, child, status, finished_at=dt.datetime.now(dt.UTC))
    return parent_id


@pytest.mark.parametrize("note", NOTES)
def test_an_attempt_that_is_over_notes_nothing(
    sessions: Sessions, caller: Caller, batch_id: uuid.UUID, note: str
) -> None:
    """Whatever it came to meanwhile: what a newer one finds is its own."""
    end_lines(sessions, caller, Status.SUCCEEDED)
    with sessions.begin() as session:
        tables.put(session, batch_id, Status.RUNNING, attempt=2)
    before = rows(sessions, batch_id)
    with pytest.raises(errors.Fenced), sessions.begin() as session:
        NOTES[note](session, batch_id, 1)
    assert rows(sessions, batch_id) == before
    with sessions.begin() as session:
        NOTES[note](session, batch_id, 2)
    assert rows(sessions, batch_id) != before


def rows(sessions: Sessions, batch_id: uuid.UUID) -> Any:
    with sessions() as session:
        return session.execute(text(_ROWS), {"id": batch_id}).one()


def test_what_a_batch_came_to_is_said_once(sessions: Sessions, batch_id: uuid.UUID) -> None:
    """An attempt that died after it had said so is followed by one that counts again: what is kept is the first."""
    with sessions.begin() as session:
        first = states.ended(session, batch_id, 1).totals
    with sessions.begin() as session:
        session.execute(text("UPDATE batches SET lines = 7 WHERE job_id = :id"), {"id": batch_id})
        told = states.ended(session, batch_id, 1)
        assert first == told.totals
        assert told.totals is not None
        assert told.totals["counts"] == {"total": 3, "completed": 0, "failed": 3}


@pytest.mark.parametrize("ending", ["cancelled", "expired"])
def test_a_batch_that_ends_already_has_no_errors_of_its_file(
    sessions: Sessions, batch_id: uuid.UUID, ending: str
) -> None:
    with sessions.begin() as session:
        table.end(session, [batch_id], ending)
    with sessions.begin() as session:
        states.failed(session, batch_id, 1, [FileError("odd", "it is odd")])
        row = table.of_job(session, batch_id)
        assert (row.ending, row.errors) == (ending, None)


def test_when_its_files_were_begun_is_noted_once_and_only_of_what_ran(sessions: Sessions, batch_id: uuid.UUID) -> None:
    """One that ended before its lines were known to be right never was in progress, nor finalizing."""
    with sessions.begin() as session:
        row = states.finalizing(session, batch_id, 1)
        assert row is not None
        assert row.finalizing_at is None
    with sessions.begin() as session:
        states.checked(session, batch_id, 1, 3, None)
        row = states.finalizing(session, batch_id, 1)
        assert row is not None
        first = row.finalizing_at
    assert first is not None
    with sessions.begin() as session:
        row = states.finalizing(session, batch_id, 1)
        assert row is not None
        assert row.finalizing_at == first


def test_a_line_that_runs_holds_the_files_off(sessions: Sessions, caller: Caller, batch_id: uuid.UUID) -> None:
    other = end_lines(sessions, caller, Status.SUCCEEDED, Status.FAILED)
    with sessions.begin() as session:
        running = tables.children(sessions, other)[0]
        session.execute(
            text("UPDATE jobs SET parent_id = :id, finished_at = NULL WHERE id = :child"),
            {"id": batch_id, "child": running},
        )
        assert states.finalizing(session, batch_id, 1) is None
        assert table.of_job(session, batch_id).ending is None
