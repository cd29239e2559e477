"""The window: how many jobs are handed to Redis, which, and that nobody's wake-up is lost."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import text

from db.session import Sessions
from db.turns import Next
from tasks.jobs import jobs, stages
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tasks.models.catalog import CONTROL
from tasks.queues import window
from tasks.queues.window import Occupancy, WakeUp
from tests import tables


def refill(sessions: Sessions) -> list[WakeUp]:
    with sessions.begin() as session:
        return window.refill(session, "alpha", tables.LEASE_S)


@pytest.mark.parametrize(
    ("slots", "dispatched", "batch_moving", "room", "batch_room", "quiet_room"),
    [
        (0, 0, 0, 0, 0, 0),  # nobody lives: everything waits in PostgreSQL
        (1, 0, 0, 2, 1, 2),  # a single slot can't be kept free, but half the window can
        (1, 0, 1, 2, 0, 1),
        (4, 0, 0, 8, 3, 8),  # one of four slots stays free of batch work
        (4, 0, 3, 8, 0, 5),  # where it is quiet, none does, and as many jobs are sent ahead
        (4, 4, 0, 4, 3, 4),
        (4, 5, 0, 0, 0, 0),  # filled in gulps: not before half of it is empty
    ],
)
def test_room_follows_from_slots(
    slots: int, dispatched: int, batch_moving: int, room: int, batch_room: int, quiet_room: int
) -> None:
    """Twice the living slots, of which batch work may take all but one, or all where it is quiet."""
    occupancy = Occupancy(slots, dispatched, batch_moving, 0, interactive_waits=True, batch_waits=True)
    assert (occupancy.room, occupancy.batch_room) == (room, batch_room)
    assert replace(occupancy, quiet=True).batch_room == quiet_room


def test_refill_without_a_living_worker_moves_nothing(sessions: Sessions, caller: Caller) -> None:
    """Jobs wait in PostgreSQL until somebody can take them."""
    tables.submit(sessions, caller)
    assert refill(sessions) == []
    tables.worker(sessions)
    tables.silence(sessions, "w1", tables.LEASE_S + 1)
    assert refill(sessions) == []


def test_refill_fills_the_window_and_no_more(sessions: Sessions, caller: Caller) -> None:
    """Two slots: four go, in order, and the second call finds no room."""
    tables.worker(sessions, slots=2)
    ids = [tables.submit(sessions, caller).id for _ in range(6)]
    assert refill(sessions) == [WakeUp(job_id, "alpha.interactive") for job_id in ids[:4]]
    assert refill(sessions) == []
    assert tables.column(sessions, ids[0], "status") == "dispatched"
    assert tables.column(sessions, ids[5], "status") == "queued"


def test_interactive_goes_before_batch_and_batch_leaves_a_slot(sessions: Sessions, caller: Caller) -> None:
    """Of two slots one is kept free of batch work, also when nothing else waits."""
    tables.worker(sessions, slots=2)
    batch = [tables.submit(sessions, caller, lane="batch").id for _ in range(3)]
    interactive = tables.submit(sessions, caller).id
    assert refill(sessions) == [WakeUp(interactive, "alpha.interactive"), WakeUp(batch[0], "alpha.batch")]


def test_a_quarter_of_the_slots_stays_free_of_what_takes_long(sessions: Sessions, caller: Caller) -> None:
    """However many jobs of thousands of texts there are: a query that comes after them finds a slot, straight away."""
    tables.worker(sessions, model="embedder", slots=4)
    texts = {"texts": ["a text"] * 100}
    many = [tables.submit(sessions, caller, type="embed", model="embedder", input=texts).id for _ in range(9)]
    with sessions.begin() as session:
        moved = [wake_up.job_id for wake_up in window.refill(session, "embedder", tables.LEASE_S)]
    assert moved == many[:3]
    later = tables.submit(sessions, caller, type="embed", model="embedder", input=texts).id
    query = tables.submit(sessions, caller, type="embed", model="embedder", input={"texts": ["a query"]}).id
    with sessions.begin() as session:
        moved = [wake_up.job_id for wake_up in window.refill(session, "embedder", tables.LEASE_S)]
    assert moved == [query]
    with sessions.begin() as session:
        tables.put(session, many[0], Status.SUCCEEDED)
        moved = [wake_up.job_id for wake_up in window.refill(session, "embedder", tables.LEASE_S)]
    assert moved == [many[3]]
    assert tables.column(sessions, later, "status") == "queued"


def test_files_of_batches_leave_slots_of_the_control_worker_free(sessions: Sessions, caller: Caller) -> None:
    """However many of them are looked at: a request for two answers finds a slot."""
    tables.worker(sessions, model=CONTROL, slots=8)
    asked = [tables.submit(sessions, caller).id for _ in range(21)]
    with sessions.begin() as session:
        for job_id in asked:
            stage = stages.SURVEY_LINES if job_id != asked[-1] else stages.SPREAD
            tables.put(session, job_id, Status.QUEUED, queue=CONTROL, stage=stage)
        moved = [wake_up.job_id for wake_up in window.refill(session, CONTROL, tables.LEASE_S)]
    assert sorted(moved) == sorted([*asked[:6], asked[-1]])


def test_job_that_takes_long_is_not_let_straight_in_beside_as_many(sessions: Sessions, caller: Caller) -> None:
    """Nobody waits, and there is room; but not for another of its kind."""
    tables.worker(sessions, model="embedder", slots=2)
    texts = {"texts": ["a text"] * 100}
    first, second = (tables.submit(sessions, caller, type="embed", model="embedder", input=texts).id for _ in range(2))
    where = ("embedder", "embed_many", "interactive", tables.LEASE_S)
    with sessions.begin() as session:
        assert window.admit(session, second, *where) is None  # the first waits
        tables.put(session, first, Status.RUNNING)
        assert window.admit(session, second, *where) is None
        tables.put(session, first, Status.SUCCEEDED)
        assert window.admit(session, second, *where)


def test_job_that_is_too_late_takes_no_room_from_one_that_takes_long(sessions: Sessions, caller: Caller) -> None:
    """Nobody starts it any more, so a new one goes straight in, as a refill would let it."""
    tables.worker(sessions, model="embedder", slots=2)
    asked = tables.submission(type="embed", model="embedder", input={"texts": ["a text"] * 100})
    with sessions.begin() as session:
        late = tables.accept(session, caller, asked).id
        tables.put(session, late, Status.DISPATCHED)
        session.execute(text("UPDATE jobs SET expires_at = now()"))
    with sessions.begin() as session:
        plan = tables.plan(session, caller, asked)
        assert jobs.insert(session, caller, plan, window.room(tables.LEASE_S))[1]


def test_running_batch_work_counts_against_its_share(sessions: Sessions, caller: Caller) -> None:
    """A batch job that runs takes the place that the next one would need, while an interactive one is under way."""
    tables.worker(sessions, slots=2)
    running, waiting = (tables.submit(sessions, caller, lane="batch").id for _ in range(2))
    chat = tables.submit(sessions, caller).id
    with sessions.begin() as session:
        tables.put(session, running, Status.RUNNING)
        tables.put(session, chat, Status.RUNNING)
    assert refill(sessions) == []
    with sessions.begin() as session:
        tables.put(session, running, Status.SUCCEEDED)
    assert [wake_up.job_id for wake_up in refill(sessions)] == [waiting]


def test_quiet_queue_lends_its_last_slot_to_batch_work(sessions: Sessions, caller: Caller) -> None:
    """And as many jobs are sent ahead as it has slots; but not soon after an interactive job: another may follow it."""
    tables.worker(sessions, slots=2)
    batch = [tables.submit(sessions, caller, lane="batch").id for _ in range(5)]
    chat = tables.submit(sessions, caller).id
    with sessions.begin() as session:
        tables.put(session, chat, Status.SUCCEEDED)
        session.execute(text("UPDATE jobs SET finished_at = now() WHERE id = :id"), {"id": chat})
    assert [wake_up.job_id for wake_up in refill(sessions)] == batch[:1]
    assert refill(sessions) == []
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET finished_at = now() - interval '6 s' WHERE id = :id"), {"id": chat})
    assert [wake_up.job_id for wake_up in refill(sessions)] == batch[1:4]
    assert refill(sessions) == []


def test_chat_with_several_answers_leaves_its_slot_free_too(sessions: Sessions, caller: Caller) -> None:
    """It ends on the control worker, its children are what ran here; and however much ends elsewhere meanwhile."""
    tables.worker(sessions, slots=2)
    batch = [tables.submit(sessions, caller, lane="batch").id for _ in range(3)]
    chat, child, *others = (tables.submit(sessions, caller).id for _ in range(302))
    with sessions.begin() as session:
        for job_id in (chat, child, *others):
            tables.put(session, job_id, Status.SUCCEEDED)
        session.execute(
            text("UPDATE jobs SET finished_at = now(), queue = 'other' WHERE id = ANY(:ids)"), {"ids": others}
        )
        about = {"chat": chat, "child": child}
        session.execute(text("UPDATE jobs SET finished_at = now() - interval '1 s' WHERE id IN (:chat, :child)"), about)
        session.execute(text("UPDATE jobs SET queue = 'control' WHERE id = :chat"), about)
        session.execute(text("UPDATE jobs SET parent_id = :chat, place = 0 WHERE id = :child"), about)
    assert [wake_up.job_id for wake_up in refill(sessions)] == batch[:1]
    assert refill(sessions) == []


def test_control_queue_lends_nothing(sessions: Sessions, caller: Caller) -> None:
    """What reads files there can't be stopped for who comes next."""
    tables.worker(sessions, model="control", slots=2)
    for _ in range(3):
        tables.submit(sessions, caller, lane="batch")
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET queue = 'control'"))
        assert len(window.refill(session, "control", tables.LEASE_S)) == 1
        assert window.refill(session, "control", tables.LEASE_S) == []


def test_refills_at_once_send_each_job_once(sessions: Sessions, caller: Caller) -> None:
    """However many look at the same moment, the window gets its number and no job twice."""
    tables.worker(sessions, slots=2)
    for _ in range(12):
        tables.submit(sessions, caller)
    wake_ups: list[WakeUp] = []
    threads = [threading.Thread(target=lambda: wake_ups.extend(refill(sessions))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wake_ups) == len({wake_up.job_id for wake_up in wake_ups}) == 4


def test_submissions_and_claims_at_once_leave_nobody_waiting_beside_room(sessions: Sessions, caller: Caller) -> None:
    """Everyone looks after their own commit, so when all is quiet no job waits while the window has room."""
    tables.worker(sessions, slots=2)

    def submit() -> None:
        for _ in range(10):
            tables.submit(sessions, caller)
            for wake_up in refill(sessions):
                tables.claim(sessions, wake_up.job_id)
                handed.extend(refill(sessions))

    handed: list[WakeUp] = []
    threads = [threading.Thread(target=submit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sessions() as session:
        assert not window._look(session, "alpha", tables.LEASE_S).worth_a_refill


def test_submission_goes_straight_into_a_window_where_nobody_waits(sessions: Sessions, caller: Caller) -> None:
    """Interactive work only, while there is room, and never past somebody who waits already."""

    def admitted(**changes: object) -> bool:
        with sessions.begin() as session:
            plan = tables.plan(session, caller, tables.submission(**changes))
            job, straight = jobs.insert(session, caller, plan, window.room(tables.LEASE_S))
        assert (tables.column(sessions, job.id, "status") == "dispatched") is straight
        return straight

    assert not admitted()  # nobody lives
    tables.worker(sessions, slots=2)
    assert not admitted()  # somebody waits
    refill(sessions)
    assert not admitted(lane="batch")
    assert [admitted() for _ in range(3)] == [True, True, False]


def test_job_that_was_claimed_meanwhile_is_not_taken_back(
    sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom to let in is chosen without locks: what runs by then goes on running."""
    tables.worker(sessions, slots=2)
    running, waiting = (tables.submit(sessions, caller).id for _ in range(2))
    tables.dispatch(sessions, running)
    tables.claim(sessions, running)
    chosen = [Next(job_id, "generate", caller.tenant_id, aged=False) for job_id in (running, waiting)]
    monkeypatch.setattr(window.turns, "next_queued", lambda *_: chosen)
    with sessions.begin() as session:
        wake_ups = window.refill(session, "alpha", tables.LEASE_S)
    assert [wake_up.job_id for wake_up in wake_ups] == [waiting]
    assert tables.column(sessions, running, "status") == "running"


def test_job_that_somebody_holds_is_not_waited_for(sessions: Sessions, caller: Caller) -> None:
    """Under the window's lock a storm of cancels would hold everyone: what is being ended is passed over."""
    tables.worker(sessions, slots=1)
    held, free = (tables.submit(sessions, caller).id for _ in range(2))
    with sessions.begin() as session:
        session.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": held})
        assert [wake_up.job_id for wake_up in refill(sessions)] == [free]
    assert [wake_up.job_id for wake_up in refill(sessions)] == [held]
