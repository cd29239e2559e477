"""What is asked of batches' rows: which are late or stuck, how many of their lines are written, how these ended."""

import datetime as dt
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import Select, text

from db import batches as table
from db.session import Sessions
from tasks.batches import batches
from tasks.batches.counting import Counting
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import tables

_BATCH = """
INSERT INTO batches (job_id, tenant_id, endpoint, input_file_id, completion_window, expires_at, ending)
VALUES (:id, :tenant, '/v1/chat/completions', :id, '24h', now() - CAST(:late_s AS integer) * interval '1 s', :ending)
"""
_TWIN = "INSERT INTO batch_twins (job_id, place, of_place, label) VALUES (:id, :place, :of, '')"


def batch(
    sessions: Sessions, caller: Caller, *, lines: int = 1, late_s: int = 1, ending: str | None = None
) -> uuid.UUID:
    """One that waits for its lines."""
    job_id = tables.parent(sessions, caller, children=lines, goes_on_in="alpha")
    with sessions.begin() as session:
        about = {"id": job_id, "tenant": caller.tenant_id, "late_s": late_s, "ending": ending}
        session.execute(text(_BATCH), about)
    return job_id


def twin(sessions: Sessions, batch_id: uuid.UUID, place: int, of: int) -> None:
    with sessions.begin() as session:
        session.execute(text(_TWIN), {"id": batch_id, "place": place, "of": of})


@pytest.mark.parametrize("which", [table.late, table.stuck])
def test_what_needs_nothing_takes_nobodys_place(
    sessions: Sessions, caller: Caller, which: Callable[[int], Select[uuid.UUID]]
) -> None:
    """A sweep looks at so many at once: those that end already, or run, aren't among them."""
    other = batch(sessions, caller, ending="expired" if which is table.late else "cancelled")
    with sessions.begin() as session:
        tables.put(session, other, Status.RUNNING)
    wanted = batch(sessions, caller, ending=None if which is table.late else "cancelled")
    with sessions.begin() as session:
        assert session.scalars(which(10)).all() == [wanted]


def test_a_window_has_ended_at_its_end_and_not_before(sessions: Sessions, caller: Caller) -> None:
    batch(sessions, caller, late_s=-60)
    over = batch(sessions, caller, late_s=0)
    with sessions.begin() as session:
        assert session.scalars(table.late(10)).all() == [over]


@pytest.mark.parametrize("told", [batches.expire, batches.hurry])
def test_a_batch_that_somebody_holds_keeps_no_other_waiting(
    sessions: Sessions, upkeep: Sessions, caller: Caller, told: Callable[..., list[str]]
) -> None:
    """It is looked at again in the next round."""
    ending = None if told is batches.expire else "cancelled"
    held, free = batch(sessions, caller, ending=ending), batch(sessions, caller, ending=ending)
    with sessions.begin() as holder:
        table.find(holder, caller.tenant_id, held, lock=True)
        with upkeep.begin() as session:
            told(session, 10)
    assert [tables.column(sessions, id, "status") for id in (held, free)] == [Status.WAITING, Status.QUEUED]


def test_lines_are_written_down_up_to_the_last_twin(sessions: Sessions, caller: Caller) -> None:
    """Which may stand after all lines that have jobs, or before them."""
    batch_id = batch(sessions, caller, lines=2)
    with sessions.begin() as session:
        assert table.written(session, batch_id) == 2
    twin(sessions, batch_id, 2, 0)
    twin(sessions, batch_id, 3, 1)
    with sessions.begin() as session:
        assert table.written(session, batch_id) == 4


def test_twins_are_counted_with_their_own_batch(sessions: Sessions, caller: Caller) -> None:
    """By the status of the job that is theirs; of each batch that is asked for, and of no other."""
    one, other = batch(sessions, caller, lines=2), batch(sessions, caller)
    twin(sessions, one, 2, 0)
    twin(sessions, one, 3, 1)
    twin(sessions, other, 1, 0)
    with sessions.begin() as session:
        tables.put(session, tables.children(sessions, one)[0], Status.FAILED)
    with sessions.begin() as session:
        counted = table.counts(session, [one])
        assert counted.keys() == {one}
        assert sorted((status, number) for status, number, _ in counted[one]) == [
            *[("failed", 1)] * 2,
            *[("queued", 1)] * 2,
        ]


def test_what_lines_children_spent_is_their_batchs(sessions: Sessions, caller: Caller) -> None:
    """Beside what the lines themselves have: of those that ask for several answers."""
    batch_id = batch(sessions, caller)
    [line] = tables.children(sessions, batch_id)
    child = batch(sessions, caller)
    with sessions.begin() as session:
        tables.put(session, line, Status.WAITING, stage="gather", prompt_tokens=100)
        tables.put(session, child, Status.SUCCEEDED, parent_id=line, place=0, prompt_tokens=3, completion_tokens=5)
    with sessions.begin() as session:
        told = {
            status: (number, spent["prompt"]) for status, number, spent in table.counts(session, [batch_id])[batch_id]
        }
    assert told == {Status.WAITING: (1, 100), "": (0, 3)}


@pytest.mark.parametrize(
    ("measured", "last"),
    [([], -1), ([(4, 10), (7, 90)], 7), ([(4, 10), (7, 90), (9, 1)], 9), ([(4, 10), (7, 91), (9, 1)], 7)],
)
def test_a_lot_has_one_line_more_than_it_has_room_for(measured: list[tuple[int, int]], last: int) -> None:
    """None more where they have just so many bytes."""
    assert table.last_of_lot(measured, 100) == last


def test_what_runs_or_has_ended_is_not_queued_by_who_cancels_it(sessions: Sessions, caller: Caller) -> None:
    """One that runs finds out by itself; of one whose job was ended from outside nothing is said any more."""
    runs, over = batch(sessions, caller), batch(sessions, caller)
    with sessions.begin() as session:
        tables.put(session, runs, Status.RUNNING)
        tables.put(session, over, Status.FAILED, finished_at=dt.datetime.now(dt.UTC))
    with sessions.begin() as session:
        assert [batches.cancel(session, caller, id) for id in (runs, over)] == [None, None]
        assert [table.of_job(session, id).ending for id in (runs, over)] == ["cancelled", None]
    assert tables.column(sessions, runs, "status") == Status.RUNNING


def test_pages_of_an_endpoint_follow_each_other_both_ways(sessions: Sessions, caller: Caller) -> None:
    """The newest first, whichever end the reader comes from."""
    made = [batch(sessions, caller) for _ in range(5)][::-1]
    with sessions.begin() as session:
        session.execute(text("UPDATE batches SET endpoint = '/v1/embeddings' WHERE job_id = :id"), {"id": made[2]})
    made.pop(2)

    def page(**where: uuid.UUID) -> tuple[list[uuid.UUID], bool]:
        with sessions.begin() as session:
            found = batches.page_for(session, caller, "/v1/chat/completions", limit=2, counting=Counting(), **where)
        return [view.id for view in found[0]], found[1]

    assert page() == (made[:2], True)
    assert page(after=made[1]) == (made[2:], False)
    assert page(before=made[3]) == (made[1:3], True)
    assert page(before=made[2]) == (made[:2], False)


def test_a_file_goes_with_the_one_batch_that_it_was_made_for(sessions: Sessions, caller: Caller) -> None:
    """Not one that the client sent, nor one that another batch is of too."""
    sent, own, shared = (batch(sessions, caller) for _ in range(3))
    with sessions.begin() as session:
        for id in (own, shared):
            session.execute(text("UPDATE jobs SET params = '{\"owns_input\": true}' WHERE id = :id"), {"id": id})
        batch_of = "UPDATE batches SET input_file_id = :file WHERE job_id = :id"
        session.execute(text(batch_of), {"file": shared, "id": sent})
    with sessions.begin() as session:
        assert [batches.own_files(session, caller, id) for id in (sent, own, shared)] == [[], [own], []]
        session.execute(text(batch_of), {"file": sent, "id": sent})
        assert [batches.own_files(session, caller, id) for id in (sent, shared)] == [[], [shared]]
