"""The state machine: every pair of states, on the real table."""

import itertools

import pytest

from db.jobs import Job
from db.session import Sessions
from tasks.jobs import fence, lifecycle
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import tables

# Written out once more, by hand: a slip in the table of moves has to be made twice to pass.
LEGAL = {
    ("scheduled", "queued"),
    ("scheduled", "failed"),
    ("scheduled", "cancelled"),
    ("scheduled", "expired"),
    ("queued", "dispatched"),
    ("queued", "failed"),
    ("queued", "cancelled"),
    ("queued", "expired"),
    ("dispatched", "running"),
    ("dispatched", "queued"),
    ("dispatched", "scheduled"),
    ("dispatched", "succeeded"),
    ("dispatched", "failed"),
    ("dispatched", "cancelled"),
    ("dispatched", "expired"),
    ("running", "dispatched"),
    ("running", "queued"),
    ("running", "scheduled"),
    ("running", "waiting"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("running", "expired"),
    ("waiting", "queued"),
    ("waiting", "failed"),
    ("waiting", "cancelled"),
}


@pytest.mark.parametrize(("origin", "target"), list(itertools.product(Status, Status)))
def test_move_happens_exactly_where_it_is_legal(
    sessions: Sessions, caller: Caller, origin: Status, target: Status
) -> None:
    """A job moves along a legal edge and stays where it is on any other."""
    job_id = tables.submit(sessions, caller).id
    with sessions.begin() as session:
        tables.put(session, job_id, origin)
        moved = lifecycle.move(session, target, Job.id == job_id)
    legal = (origin, target) in LEGAL
    assert len(moved) == legal
    assert tables.column(sessions, job_id, "status") == (target if legal else origin)


def test_terminal_states_lead_nowhere() -> None:
    """What has ended has ended."""
    assert all(not lifecycle.MOVES[status] for status in lifecycle.TERMINAL)


def test_client_never_sees_where_a_job_waits() -> None:
    """`scheduled` and `dispatched` are shown as `queued`, `waiting` as `running`, everything else as it is."""
    otherwise = {"scheduled": "queued", "dispatched": "queued", "waiting": "running"}
    assert {status: lifecycle.shown(status) for status in Status} == {
        status: otherwise.get(status, status) for status in Status
    }


def test_touch_needs_the_newest_attempt_and_a_moving_job(sessions: Sessions, caller: Caller) -> None:
    """A write without a move is fenced like a move."""
    job_id = tables.submit(sessions, caller).id
    with sessions.begin() as session:
        tables.put(session, job_id, Status.RUNNING, attempt=2)
        assert not fence.touch(session, job_id, 1, progress_done=1)
        assert fence.touch(session, job_id, 2, progress_done=1)
        tables.put(session, job_id, Status.SUCCEEDED)
        assert not fence.touch(session, job_id, 2, progress_done=2)


def test_move_returns_the_job_as_it_now_is(sessions: Sessions, caller: Caller) -> None:
    """Also when the session has read the job before."""
    job_id = tables.submit(sessions, caller).id
    with sessions.begin() as session:
        known = session.get(Job, job_id)
        [moved] = lifecycle.move(session, Status.DISPATCHED, Job.id == job_id, attempt=5)
        assert (moved.status, moved.attempt) == ("dispatched", 5)
        assert known is moved
