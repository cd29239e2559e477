"""A batch whose store can't be had, or one of whose answers can't be told: it waits, and loses no line."""

import datetime as dt
import threading
import uuid
from collections.abc import Container
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from db.session import Sessions
from dialects.openai.render import lines as rendered
from tasks import errors
from tasks.batches import batches, states
from tasks.files.store import Store
from tasks.jobs import attempts, fence
from tasks.keys import Caller
from tasks.kinds.batch import CHANCES
from tasks.models import catalog
from tests import tables
from tests.workers.batched import Hall, chats
from tests.workers.conftest import MakeWorker
from workers.stages import batch_lines


class Flawed:
    """PostgreSQL's store, which can't be had for these of the next calls, counted from 0."""

    def __init__(self, store: Store) -> None:
        self._store, self.name = store, store.name
        self.away: Container[int] = ()
        self.calls = 0

    def put(self, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, piece: bytes) -> None:
        self._called()
        self._store.put(tenant_id, part_id, number, piece)

    def get(self, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, start: int, end: int) -> bytes:
        self._called()
        return self._store.get(tenant_id, part_id, number, start, end)

    def discard(self, tenant_id: uuid.UUID, part_id: uuid.UUID) -> None:
        self._store.discard(tenant_id, part_id)

    def _called(self) -> None:
        self.calls += 1
        if self.calls - 1 in self.away:
            raise errors.Unavailable("the store is away")


@pytest.fixture
def hall(sessions: Sessions, caller: Caller, make_worker: MakeWorker, tmp_path: Path) -> Hall:
    return Hall(sessions, caller, make_worker, tmp_path)


@pytest.fixture
def store(hall: Hall) -> Flawed:
    flawed = Flawed(hall.stores.current)
    vars(hall.stores)["current"] = flawed
    return flawed


@pytest.fixture
def line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each slice has one line."""
    monkeypatch.setattr(batch_lines, "SLICE_S", -1.0)


def wait(hall: Hall) -> None:
    """What waits for its time has waited."""
    with hall.sessions.begin() as session:
        session.execute(text("UPDATE jobs SET status = 'queued', due_at = now() WHERE status = 'scheduled'"))


@pytest.mark.parametrize("call", range(4))
def test_no_line_is_lost_while_the_store_is_away(hall: Hall, store: Flawed, line_by_line: None, call: int) -> None:
    """Of lines that were never made jobs, at whichever of them it goes."""
    batch_id = hall.begin(chats(4))
    for _ in range(6):
        hall.step(catalog.CONTROL)
    assert hall.look(batch_id).counts.total == 4
    hall.cancel(batch_id)
    store.calls, store.away = 0, [call]
    hall.run(catalog.CONTROL)
    assert (hall.look(batch_id).status, hall.column(batch_id, "status")) == ("cancelling", "scheduled")
    wait(hall)
    hall.run(catalog.CONTROL)
    found = hall.look(batch_id)
    assert (found.status, found.counts.failed) == ("cancelled", 4)
    assert hall.told(batch_id) == ([], ["0", "1", "2", "3"])


def test_a_slices_time_begins_when_its_turn_has_come(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long others had theirs before: else a line would be read in each turn."""
    now = [0.0]
    monkeypatch.setattr(batch_lines, "time", SimpleNamespace(monotonic=lambda: now[0]))
    turns = hall.workers[catalog.CONTROL].line_turns
    taken = turns.taken

    def late(*whose: Any) -> AbstractContextManager[None]:
        now[0] += 10 * batch_lines.SLICE_S
        return taken(*whose)

    monkeypatch.setattr(turns, "taken", late)
    batch_id = hall.begin(chats(3))
    hall.step(catalog.CONTROL)
    assert hall.look(batch_id).status == "in_progress"


def test_a_store_that_is_away_for_long_fails_no_batch(hall: Hall, store: Flawed) -> None:
    """Neither while its file is read nor while its files are written."""
    batch_id = hall.begin(chats(2))
    store.away = range(10**6)
    for _ in range(12):
        wait(hall)
        hall.run()
    store.away = ()
    wait(hall)
    hall.step(catalog.CONTROL)
    hall.step(catalog.CONTROL)
    store.away = range(10**6)
    for _ in range(12):
        wait(hall)
        hall.run()
    assert hall.look(batch_id).status == "finalizing"
    store.away = ()
    wait(hall)
    hall.run()
    assert hall.look(batch_id).status == "completed"
    assert hall.told(batch_id) == (["0", "1"], [])


def test_a_batch_that_can_not_be_ended_fails_in_the_end_and_may_be_asked_again(hall: Hall, store: Flawed) -> None:
    """Though all its lines were answered: it has no files."""
    batch_id = hall.begin(chats(2))
    hall.step(catalog.CONTROL)
    hall.step(catalog.CONTROL)
    hall.run("alpha")
    store.away = range(10**6)
    hall.step(catalog.CONTROL)
    ago = dt.timedelta(days=1, seconds=1)
    with hall.sessions.begin() as session:
        session.execute(text("UPDATE batches SET ending_at = ending_at - :ago"), {"ago": ago})
    for _ in range(CHANCES):
        wait(hall)
        hall.run()
    found = hall.look(batch_id)
    assert (found.status, found.counts.completed, found.output_file_id) == ("failed", 2, None)
    with hall.sessions.begin() as session:
        batches.require_failures(session, hall.caller, batch_id)


def test_an_answer_that_can_not_be_told_is_the_error_of_its_line(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    told = rendered.BODIES["/v1/chat/completions"]

    def fails(line: rendered.Answered) -> object:
        assert line.custom_id != "1"
        return told(line)

    monkeypatch.setattr(rendered, "BODIES", {"/v1/chat/completions": fails})
    batch_id = hall.begin(chats(3))
    hall.run()
    found = hall.look(batch_id)
    assert found.status == "completed"
    lines = hall.lines(found.output_file_id)
    assert [line["response"]["status_code"] for line in lines] == [200, 500, 200]
    assert lines[1]["response"]["body"]["error"]["code"] == "internal"


def test_who_cancels_and_a_stage_that_writes_wait_for_each_other_in_one_order(hall: Hall) -> None:
    """A stage has locked the job; a cancel comes meanwhile; the stage writes to the batch."""
    batch_id = hall.begin(chats(1))
    tables.dispatch(hall.sessions, batch_id)
    claim = tables.claim(hall.sessions, batch_id, queue=catalog.CONTROL)
    assert claim is not None
    cancelling = threading.Thread(target=hall.cancel, args=[batch_id])
    with hall.sessions.begin() as session:
        fence.guard(session, batch_id, claim.attempt)
        cancelling.start()
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')")
        with hall.sessions() as looking:
            while not looking.scalar(waits):
                looking.rollback()
        states.checked(session, batch_id, claim.attempt, 1, "alpha")
    cancelling.join()
    with hall.sessions.begin() as session:
        attempts.release_unheld(session, batch_id, claim.attempt)
    assert (hall.look(batch_id).status, hall.look(batch_id).counts.total) == ("cancelling", 1)
