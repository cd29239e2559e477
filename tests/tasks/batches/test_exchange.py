"""Which line of a batch runs in the turn of another."""

import pytest

from db.session import Sessions
from tasks import ids
from tasks.batches.exchange import exchange
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import tables
from tests.support.grouped import Grouped

GROUPS = "AAABBCC"


@pytest.fixture
def batch(sessions: Sessions, caller: Caller) -> Grouped:
    return Grouped(sessions, caller, GROUPS)


def in_turn_of(batch: Grouped, name: str, kept: str = "", begun: str = "") -> str:
    """The name of the line that is to run, where these groups are kept and begun."""
    with batch.sessions.begin() as session:
        return batch.name(exchange(session, batch.lines[name], batch.groups(kept), batch.groups(begun)))


def test_line_that_begins_as_what_a_slot_has_runs_in_the_turn_of_another(batch: Grouped) -> None:
    """It comes into the window, and the other one goes back: as many are there as before."""
    batch.dispatch("A0", "A1")
    assert in_turn_of(batch, "A1", kept="B") == "B0"
    assert batch.are("dispatched") == ["A0", "B0"]
    assert in_turn_of(batch, "A0", kept="CB") == "C0"
    assert batch.are("dispatched") == ["B0", "C0"]


def test_where_none_waits_for_the_window_it_is_one_in_the_window(batch: Grouped) -> None:
    batch.dispatch("A0", "B0", "B1")
    assert in_turn_of(batch, "A0", kept="B") == "B0"
    assert batch.are("dispatched") == ["B0", "B1"]


def test_free_slot_begins_a_group_that_runs_nowhere(batch: Grouped) -> None:
    """Whether its line's own runs in this worker or in another one."""
    batch.dispatch("A0", "A1", "A2")
    assert in_turn_of(batch, "A0", kept="") == "A0"
    assert in_turn_of(batch, "A1", begun="A") == "B0"
    batch.run("A1", "B0")
    assert in_turn_of(batch, "A2") == "C0"


def test_where_all_groups_run_a_slot_helps_with_the_first(batch: Grouped) -> None:
    """No slot is idle while lines wait."""
    batch.run("B0", "C0")
    batch.dispatch("A1")
    assert in_turn_of(batch, "A1", begun="A") == "A1"
    batch.run("C1")
    assert in_turn_of(batch, "A1", kept="C", begun="A") == "A1"
    assert batch.are("dispatched") == ["A1"]


def test_line_that_is_not_in_the_window_is_left_alone(batch: Grouped) -> None:
    """Its message was delivered twice, or late."""
    assert in_turn_of(batch, "A0", kept="B") == "A0"
    batch.run("A1")
    assert in_turn_of(batch, "A1", kept="B") == "A1"
    assert batch.are("dispatched") == []


def test_job_of_a_worker_that_is_only_silent_stays_in_the_window(batch: Grouped, sessions: Sessions) -> None:
    """It may be back, and end it: of a job that waits in PostgreSQL no end would be taken."""
    batch.run("A0")
    with sessions.begin() as session:
        tables.lose(session, batch.lines["A0"], crashes=1)
    assert in_turn_of(batch, "A0", kept="B") == "A0"
    assert batch.are("dispatched") == ["A0"]


def test_lines_of_other_batches_and_plain_jobs_are_never_exchanged(
    batch: Grouped, sessions: Sessions, caller: Caller
) -> None:
    """Turns between tenants, priorities and windows stay as they were."""
    other = Grouped(sessions, caller, GROUPS)
    other.dispatch("A0")
    for number in range(2):
        batch.run(f"A{number}", f"B{number}", f"C{number}")
    batch.dispatch("A2")
    assert in_turn_of(batch, "A2", kept="B", begun="A") == "A2"
    plain = tables.submit(sessions, caller, lane="batch").id
    tables.dispatch(sessions, plain)
    with sessions.begin() as session:
        assert exchange(session, plain, [ids.group_of(other.lines["B0"])], []) == plain


def test_line_at_its_last_chance_is_not_chosen(batch: Grouped, sessions: Sessions) -> None:
    """Of such lines a worker runs one at a time: the turn would be lost, again and again."""
    with sessions.begin() as session:
        tables.put(session, batch.lines["B0"], Status.QUEUED, crashes=2)
    batch.dispatch("A0", "A1")
    assert in_turn_of(batch, "A1", kept="B") == "B1"
