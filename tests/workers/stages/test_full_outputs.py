"""A batch whose answers have no room in its output file: the file ends, and what is left out of it is said."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks import errors
from tasks.batches import batches, results
from tasks.batches.counting import Counting
from tasks.files import files
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tasks.models import catalog
from tests.workers.batched import Hall, chat, chats
from tests.workers.conftest import MakeWorker
from workers.stages import batch_lines, gather_lines


@pytest.fixture
def hall(sessions: Sessions, caller: Caller, make_worker: MakeWorker, tmp_path: Path) -> Hall:
    return Hall(sessions, caller, make_worker, tmp_path)


def room_for(hall: Hall, monkeypatch: pytest.MonkeyPatch, lines: float) -> None:
    """Output files have room for so many lines as those of `chats`."""
    batch_id = hall.begin(chats(1))
    hall.run()
    output = hall.look(batch_id).output_file_id
    assert output is not None
    size = sum(map(len, files.content(hall.stores, hall.caller, output).read()))
    monkeypatch.setattr(gather_lines, "MAX_OUTPUT_BYTES", int(lines * size))


def test_answers_that_have_no_room_are_named_in_the_error_file(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twins too, in the order of the input. Counts are the files'; results have every answer."""
    room_for(hall, monkeypatch, 2.5)
    words = {"0": "word0", "1": "x " * 9999, "2": "word2", "3": "word0", "4": "word4"}
    batch_id = hall.begin([chat(name, said, temperature=0) for name, said in words.items()])
    hall.run()
    found = hall.look(batch_id)
    assert hall.told(batch_id) == (["0", "2"], ["1", "3", "4"])
    assert (found.status, found.counts.completed, found.counts.failed) == ("completed", 2, 3)
    codes = [line["error"] and line["error"]["code"] for line in hall.lines(found.error_file_id)]
    assert codes == [None, "output_file_full", "output_file_full"]
    with hall.sessions.begin() as session:
        results.look(session, hall.caller, batch_id, Counting())
        told = [result.line for result in results.page(session, batch_id, 0, 100)]
    assert sorted(line.custom_id for line in told if line.job.status == Status.SUCCEEDED) == ["0", "2", "3", "4"]


def test_where_the_output_file_ended_is_known_to_who_writes_the_other(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a death between the two, though there were room by then. There is nothing to ask again."""
    room_for(hall, monkeypatch, 1.5)
    batch_id = hall.begin(chats(3))
    hall.run()
    with hall.sessions.begin() as session:  # as if nothing had come after the output file
        undone = "UPDATE batches SET error_file_id = NULL, totals = NULL, ended_at = NULL WHERE job_id = :id"
        session.execute(text(undone), {"id": batch_id})
        again = "UPDATE jobs SET status = 'queued', finished_at = NULL WHERE id = :id"
        session.execute(text(again), {"id": batch_id})
        session.execute(text("DELETE FROM ledger WHERE job_id = :id"), {"id": batch_id})
    monkeypatch.setattr(gather_lines, "MAX_OUTPUT_BYTES", 10**9)
    hall.run()
    assert hall.told(batch_id) == (["0"], ["1", "2"])
    with hall.sessions.begin() as session, pytest.raises(errors.Conflict):
        batches.require_failures(session, hall.caller, batch_id)


def test_lines_that_were_never_made_jobs_are_found_behind_those_left_out(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the error file, from which they are told as the last results."""
    room_for(hall, monkeypatch, 1.5)
    monkeypatch.setattr(batch_lines, "SLICE_S", -1.0)
    batch_id = hall.begin(chats(4))
    while sum(hall.statuses(batch_id).values()) < 2:
        hall.step(catalog.CONTROL)
    hall.run("alpha")
    hall.cancel(batch_id)
    hall.run()
    assert hall.told(batch_id) == (["0"], ["1", "2", "3"])
    rest = list(results.unrun(hall.stores, hall.caller, hall.look(batch_id), 2))
    assert [(number, json.loads(line)["custom_id"]) for number, line in rest] == [(3, "2"), (4, "3")]


def test_an_output_file_without_room_for_one_line_is_not_made(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather_lines, "MAX_OUTPUT_BYTES", 10)
    batch_id = hall.begin(chats(2))
    hall.run()
    assert hall.told(batch_id) == ([], ["0", "1"])
