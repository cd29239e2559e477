"""A batch's files, written part by part by workers that die: they are what one that lives writes."""

import itertools
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks import errors, failpoints
from tasks.files import drafts, files, keeping, tidying, uploads
from tasks.keys import Caller
from tasks.kinds.batch import CHANCES
from tasks.models import catalog
from tests import tables
from tests.workers.batched import Hall, chat, chats
from tests.workers.conftest import MakeWorker
from workers import run
from workers.stages import batch_lines, gather_lines

PLACES = (
    "files.after_piece",
    "batches.after_part_before_commit",
    "batches.after_part",
    "batches.after_file",
    "batches.after_end",
)


class Died(BaseException):
    """A worker's sudden death."""


@pytest.fixture
def hall(sessions: Sessions, caller: Caller, make_worker: MakeWorker, tmp_path: Path) -> Hall:
    return Hall(sessions, caller, make_worker, tmp_path)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part has one line; and whoever dies tidies up nothing."""
    monkeypatch.setattr(gather_lines, "PART_S", -1.0)
    monkeypatch.setattr(batch_lines, "SLICE_S", -1.0)
    monkeypatch.setattr("tasks.batches.answers._AT_ONCE", 1)


def ending(hall: Hall) -> uuid.UUID:
    """A cancelled batch of which nothing is left but to write its files: two lines were answered, two were refused, one
    was ended with it, and two were never made jobs."""
    long = "w " * 70
    batch_id = hall.begin([chat("0"), chat("1", long), chat("2"), chat("3", long), *(chat(name) for name in "456")])
    while sum(hall.statuses(batch_id).values()) < 4:
        hall.step(catalog.CONTROL)
    hall.run("alpha")
    hall.step(catalog.CONTROL)
    hall.cancel(batch_id)
    while hall.column(batch_id, "stage") != "gather_lines":
        hall.step(catalog.CONTROL)
    return batch_id


def die() -> None:
    raise Died


def goes() -> None:
    raise errors.Unavailable("the store is away")


def meets(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, place: str, passage: int, what: Callable[[], None] = die
) -> bool:
    """Runs the stage that is next on the control worker, to which this happens at this passage of the place; whether it
    died of it."""
    passed = 0

    def passes(name: str) -> None:
        nonlocal passed
        passed += name == place
        if name == place and passed == passage:
            what()

    [(job_id, _)] = hall.waiting(catalog.CONTROL)
    tables.dispatch(hall.sessions, job_id)
    worker = hall.workers[catalog.CONTROL]
    worker.renew(time.monotonic())  # else one on a slow machine takes its lease for lost, and claims nothing
    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "passed", passes)
        patched.setattr(keeping, "_give_up", lambda *_: None)
        try:
            run.run(worker, job_id)
        except Died:
            with hall.sessions.begin() as session:
                crashes = session.scalar(text("SELECT crashes FROM jobs WHERE id = :id"), {"id": job_id})
                tables.lose(session, job_id, crashes=(crashes or 0) + 1)
            return True
    return False


def written(hall: Hall, batch_id: uuid.UUID) -> tuple[bytes, bytes]:
    """Both files; nothing else is kept but the batch's input, once what was cut off has been silent for long."""
    found = hall.look(batch_id)
    whole = []
    for file_id in (found.output_file_id, found.error_file_id):
        assert file_id is not None
        whole.append(b"".join(files.content(hall.stores, hall.caller, file_id).read()))
    with hall.sessions.begin() as session:
        session.execute(text("UPDATE file_parts SET touched_at = now() - interval '1 day' WHERE NOT whole"))
    tidying.tidy(hall.stores, hall.caller.tenant_id, lambda: True)
    with hall.sessions() as session:
        kept = "SELECT (SELECT count(*) FROM uploads), (SELECT count(*) FROM file_parts WHERE file_id IS NULL), "
        pieces = "(SELECT sum(length(data)) FROM file_pieces) - (SELECT sum(bytes) FROM files)"
        assert tuple(session.execute(text(kept + pieces)).one()) == (0, 0, 0)
    return whole[0], whole[1]


def undo(hall: Hall, batch_id: uuid.UUID, handed: object) -> None:
    """As if nothing of the batch's files had been written, of whose last stage this is the input."""
    found = hall.look(batch_id)
    for file_id in (found.output_file_id, found.error_file_id):
        assert file_id is not None
        files.delete(hall.stores, hall.caller, file_id)
    files_of = "output_file_id = NULL, error_file_id = NULL, totals = NULL, ended_at = NULL"
    of_job = "status = 'queued', finished_at = NULL, stage_input = CAST(:handed AS json)"
    with hall.sessions.begin() as session:
        session.execute(text(f"UPDATE batches SET {files_of} WHERE job_id = :id"), {"id": batch_id})
        session.execute(text("DELETE FROM ledger WHERE job_id = :id"), {"id": batch_id})
        undone = text(f"UPDATE jobs SET {of_job} WHERE id = :id")
        session.execute(undone, {"id": batch_id, "handed": json.dumps(handed)})


def undisturbed(hall: Hall, monkeypatch: pytest.MonkeyPatch, batch_id: uuid.UUID) -> tuple[bytes, bytes]:
    """The files as a worker writes them that lives, in one part each; then they are undone."""
    handed = hall.column(batch_id, "stage_input")
    with monkeypatch.context() as patched:
        patched.setattr(gather_lines, "PART_S", 60.0)
        hall.run(catalog.CONTROL)
    whole = written(hall, batch_id)
    undo(hall, batch_id, handed)
    return whole


@pytest.mark.parametrize("place", PLACES)
def test_files_of_workers_that_die_are_what_one_that_lives_writes(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """At the first passage of the place, the next one at the second, and so on; nothing is left over."""
    batch_id = ending(hall)
    whole = undisturbed(hall, monkeypatch, batch_id)
    deaths = next(n for n in itertools.count() if not meets(hall, monkeypatch, place, n + 1))
    assert deaths >= (1 if place in PLACES[3:] else 3)
    assert written(hall, batch_id) == whole
    assert [line.count(b"\n") for line in whole] == [2, 5]
    assert hall.look(batch_id).status == "cancelled"


def test_a_batch_may_outlive_more_deaths_than_it_has_chances(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose worker dies after every part: each is written once, and takes back the crash before it."""
    monkeypatch.setattr(batch_lines, "SLICE_S", 60.0)
    batch_id = hall.begin(chats(CHANCES + 2))
    hall.step(catalog.CONTROL)
    hall.step(catalog.CONTROL)
    hall.run("alpha")
    deaths = 0
    while meets(hall, monkeypatch, "batches.after_part", 1):
        deaths += 1
        assert hall.column(batch_id, "crashes") == 1
    assert deaths == CHANCES + 2
    assert hall.told(batch_id) == ([str(n) for n in range(CHANCES + 2)], [])


def test_a_file_begins_anew_where_its_draft_is_gone(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two attempts, and within one: which waits then, as for a store that is away."""
    batch_id = ending(hall)
    whole = undisturbed(hall, monkeypatch, batch_id)

    def expire() -> None:
        with hall.sessions.begin() as session:
            session.execute(text("UPDATE uploads SET expires_at = now()"))
        tidying.tidy(hall.stores, hall.caller.tenant_id, lambda: True)
        with hall.sessions.begin() as session:
            session.execute(text("DELETE FROM uploads"))

    assert meets(hall, monkeypatch, "batches.after_part", 1)
    expire()
    assert not meets(hall, monkeypatch, "batches.after_part", 1, expire)
    assert hall.column(batch_id, "status") == "scheduled"
    wait(hall)
    hall.run(catalog.CONTROL)
    assert written(hall, batch_id) == whole


def wait(hall: Hall) -> None:
    with hall.sessions.begin() as session:
        session.execute(text("UPDATE jobs SET status = 'queued', due_at = now() WHERE status = 'scheduled'"))


def test_who_waits_for_the_store_goes_on_where_it_was(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_id = ending(hall)
    whole = undisturbed(hall, monkeypatch, batch_id)
    assert not meets(hall, monkeypatch, "files.after_piece", 2, goes)
    assert hall.column(batch_id, "stage_input")["draft"]["where"] == {"after": 0}
    wait(hall)
    hall.run(catalog.CONTROL)
    assert written(hall, batch_id) == whole


def test_an_output_file_has_no_more_room_after_a_death(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_id = ending(hall)
    output, _ = undisturbed(hall, monkeypatch, batch_id)
    monkeypatch.setattr(gather_lines, "MAX_OUTPUT_BYTES", len(output) - 1)
    assert meets(hall, monkeypatch, "batches.after_part", 1)
    hall.run(catalog.CONTROL)
    assert hall.told(batch_id) == (["0"], ["1", "2", "3", "4", "5", "6"])


def test_a_draft_is_no_upload_of_a_clients(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_id = ending(hall)
    assert meets(hall, monkeypatch, "batches.after_part", 1)
    draft_id = uuid.UUID(hall.column(batch_id, "stage_input")["draft"]["id"])
    with pytest.raises(errors.NotFound):
        uploads.cancel(hall.stores, hall.caller, draft_id)
    with pytest.raises(errors.NotFound):
        uploads.complete(hall.stores, hall.caller, draft_id, [], None)


def test_a_file_of_one_part_is_never_a_draft(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather_lines, "PART_S", 60.0)
    monkeypatch.delattr(drafts, "add")
    batch_id = ending(hall)
    hall.run(catalog.CONTROL)
    assert hall.told(batch_id) == (["0", "2"], ["1", "3", "4", "5", "6"])
