"""Parents and children: adopted, waited for, ended with their parent; and the parent goes on exactly once."""

import datetime as dt
import threading
import uuid
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from db import families
from db.session import Sessions, alone
from tasks import errors, ids
from tasks.jobs import attempts, endings, family, jobs, stages
from tasks.jobs.family import Child
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.requests import Plan
from tasks.jobs.settlement import Closing
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.queues import window
from tasks.streams import stream
from tasks.streams.transcript import Transcript
from tests import hooks, tables
from tests.support.waiting import until
from tests.tasks.sweep.sweeping import Post, made, sweep

ENDS = ("succeeded", "failed", "cancelled", "cancelled unstarted")


def plan(place: int) -> Child:
    asked = tables.submission(input={"prompt": f"line {place}"}, lane="batch")
    return Child(Plan(asked, stages.GENERATE, "alpha", "alpha"), place, f"line-{place}")


def adopt(sessions: Sessions, parent_id: uuid.UUID, *places: int, attempt: int = 1) -> list[uuid.UUID]:
    """The parent's children, in the order of their places."""
    with sessions.begin() as session:
        assert family.adopt(session, parent_id, attempt, [plan(place) for place in places]) == {"alpha"}
    with sessions() as session:
        found = text("SELECT id FROM jobs WHERE parent_id = :id ORDER BY place")
        return list(session.scalars(found, {"id": parent_id}))


def wait(sessions: Sessions, parent_id: uuid.UUID) -> str:
    """Where the parent is once its attempt has ended in waiting for its children."""
    with sessions.begin() as session:
        onward = Onward(stages.GENERATE, "beta", wait_for_children=True)
        assert attempts.advance(session, parent_id, 1, Transcript(), onward)
    return str(tables.column(sessions, parent_id, "status"))


def start(sessions: Sessions, *job_ids: uuid.UUID) -> None:
    for job_id in job_ids:
        tables.dispatch(sessions, job_id)
        assert tables.claim(sessions, job_id)


def finish(sessions: Sessions, job_id: uuid.UUID, status: Status = Status.SUCCEEDED) -> set[str]:
    """Ends a job as its worker does, and what follows: the queues that want a refill."""
    with sessions.begin() as session:
        closing = ended(session, job_id, status)
    return family.go_on(sessions, [closing.view])


def ended(session: Session, job_id: uuid.UUID, status: Status = Status.SUCCEEDED) -> Closing:
    error = ("engine_refused", "no") if status == Status.FAILED else None
    return tables.finish(session, job_id, 1, Transcript(), Outcome(status, Spent(1, 1), error=error))


def somebody_waits_for_a_lock(sessions: Sessions) -> bool:
    with sessions() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")))


def statuses(sessions: Sessions, *job_ids: uuid.UUID) -> list[str]:
    return [tables.column(sessions, job_id, "status") for job_id in job_ids]


@pytest.fixture
def parent_id(sessions: Sessions, caller: Caller) -> uuid.UUID:
    """A job that runs."""
    return hooks.begin(sessions, caller)


def test_child_is_its_parents_tenants_and_nobody_lists_it(
    sessions: Sessions, caller: Caller, parent_id: uuid.UUID
) -> None:
    """It has the parent's key, request and lane; it can be looked at by its id, and its end is told to no webhook."""
    hooks.endpoint(sessions, caller)
    with sessions.begin() as session:
        tables.put(session, parent_id, Status.RUNNING, request_id="req_asked")
    [child_id, _] = adopt(sessions, parent_id, 0, 1)
    inherited = "SELECT tenant_id, key_id, request_id, lane FROM jobs WHERE id = :id"
    with sessions() as session:
        rows = [session.execute(text(inherited), {"id": job_id}).one() for job_id in (parent_id, child_id)]
        listed, more = jobs.page(session, caller, limit=10)
        shown = jobs.get(session, caller, child_id)
        assert families.counts(session, parent_id) == {"queued": 2}
    assert rows[0] == rows[1]
    assert rows[1].request_id == "req_asked"
    assert ([job.id for job in listed], more) == ([parent_id], False)
    assert shown.lane == "interactive"
    assert [tables.column(sessions, child_id, name) for name in ("place", "label")] == [0, "line-0"]
    start(sessions, child_id)
    finish(sessions, child_id)
    assert statuses(sessions, child_id) == ["succeeded"]
    assert hooks.listed(sessions, caller) == []


def test_attempt_that_begins_again_adopts_nobody_twice(sessions: Sessions, parent_id: uuid.UUID) -> None:
    """Each place has one child. An attempt that is over adopts nobody."""
    first = adopt(sessions, parent_id, 0, 1)
    assert adopt(sessions, parent_id, 0, 1, 2)[:2] == first
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs WHERE input::text LIKE '%line%'")) == 3
    with pytest.raises(errors.Fenced):
        adopt(sessions, parent_id, 3, attempt=7)


def test_last_childs_end_moves_the_parent_on(sessions: Sessions, parent_id: uuid.UUID) -> None:
    """However it ends, and not the one before; to whoever asks the parent runs meanwhile."""
    first, last = adopt(sessions, parent_id, 0, 1)
    start(sessions, first, last)
    assert wait(sessions, parent_id) == "waiting"
    assert finish(sessions, first) == set()
    assert statuses(sessions, parent_id) == ["waiting"]
    assert finish(sessions, last, Status.FAILED) == {"beta"}
    assert statuses(sessions, parent_id) == ["queued"]
    tables.dispatch(sessions, parent_id)
    assert tables.claim(sessions, parent_id, queue="beta")


@pytest.mark.parametrize("places", [(), (0,)])
def test_parent_whose_children_have_ended_does_not_wait(
    sessions: Sessions, parent_id: uuid.UUID, places: tuple[int, ...]
) -> None:
    """It goes on at once, as one does that has none."""
    for child_id in adopt(sessions, parent_id, *places) if places else ():
        start(sessions, child_id)
        finish(sessions, child_id)
    assert wait(sessions, parent_id) == "queued"


@pytest.mark.parametrize("other", ["finish", "cancel"])
def test_of_two_children_that_end_at_once_the_later_moves_the_parent_on(
    sessions: Sessions, caller: Caller, client: redis.Redis, parent_id: uuid.UUID, other: str
) -> None:
    """None waits for the other: the first finds the second unfinished, whose end isn't committed; the second looks once
    it is."""
    first, last = adopt(sessions, parent_id, 0, 1)
    start(sessions, first, last)
    wait(sessions, parent_id)
    with sessions.begin() as session:
        later = ended(session, last)
        if other == "finish":
            assert finish(sessions, first) == set()
        else:
            _, closings = endings.cancel(sessions, client, caller, first, 60)
            assert endings.follow_up(sessions, client, closings, 60) == set()
        assert statuses(sessions, first, parent_id) == ["succeeded" if other == "finish" else "cancelled", "waiting"]
    assert family.go_on(sessions, [later.view]) == {"beta"}
    assert statuses(sessions, parent_id) == ["queued"]


@pytest.mark.parametrize("first", ["child", "parent"])
def test_child_that_ends_while_its_parent_begins_to_wait_moves_it_on(
    sessions: Sessions, parent_id: uuid.UUID, first: str
) -> None:
    """Whichever is committed first: a look that finds the parent about to wait waits for it."""
    [child_id] = adopt(sessions, parent_id, 0)
    start(sessions, child_id)
    with sessions.begin() as session:
        if first == "parent":
            closing = ended(session, child_id)
            assert wait(sessions, parent_id) == "waiting"
        else:
            onward = Onward(stages.GENERATE, "beta", wait_for_children=True)
            assert attempts.advance(session, parent_id, 1, Transcript(), onward)
            beside = threading.Thread(target=finish, args=(sessions, child_id))
            beside.start()
            until(lambda: somebody_waits_for_a_lock(sessions))
    if first == "parent":
        assert family.go_on(sessions, [closing.view]) == {"beta"}
    else:
        beside.join()
    assert statuses(sessions, parent_id) == ["queued"]


def test_children_end_whoever_holds_their_parent(sessions: Sessions, caller: Caller) -> None:
    """Its stage, which writes more of them down, or who cancels it: only the last one's look waits."""
    parent_id = tables.parent(sessions, caller, children=3, goes_on_in="beta")
    children = tables.children(sessions, parent_id)
    start(sessions, *children)
    with sessions.begin() as session:
        families.lock(session, [parent_id])
        assert [finish(sessions, child_id) for child_id in children[:2]] == [set(), set()]
    assert finish(sessions, children[2]) == {"beta"}


def test_parents_are_found_by_their_unfinished_children_alone(sessions: Sessions, caller: Caller) -> None:
    """Those of other parents, before and after them, don't count; nor do those that have ended."""
    made = [tables.parent(sessions, caller, children=1, goes_on_in="beta") for _ in range(3)]
    first, middle, last = sorted(made)
    [over] = tables.children(sessions, middle)
    start(sessions, over)
    with sessions.begin() as session:
        ended(session, over)
    nobody = ids.new()  # later than all
    with sessions() as session:
        assert set(families.without_unfinished(alone(session), [first, middle, last, nobody])) == {middle, nobody}
        assert families.without_unfinished(alone(session), []) == []


def test_waiting_parent_that_is_cancelled_takes_its_children_with_it(
    sessions: Sessions, caller: Caller, client: redis.Redis, parent_id: uuid.UUID
) -> None:
    """Those that run like any that is cancelled; one that had ended keeps its end."""
    ended, running, *waiting = adopt(sessions, parent_id, *range(5))
    start(sessions, ended, running)
    finish(sessions, ended)
    wait(sessions, parent_id)
    shown, closings = endings.cancel(sessions, client, caller, parent_id, 60)
    assert shown.status == "cancelled"
    assert {closing.view.id for closing in closings} == {parent_id, running, *waiting}
    assert endings.announce(client, closings, 60)
    assert statuses(sessions, ended, running, *waiting) == ["succeeded", *["cancelled"] * 4]
    assert stream.read(client, running)[-1].attempt == 2
    assert all(len(tables.usage_rows(sessions, job_id)) == 1 for job_id in (parent_id, ended, running, *waiting))


def test_children_of_an_ended_parent_cannot_start_and_the_sweep_ends_them(
    sessions: Sessions, caller: Caller, client: redis.Redis, parent_id: uuid.UUID
) -> None:
    """Also those of one that failed by itself; they take no room in the window meanwhile."""
    tables.worker(sessions)
    dispatched, running, queued = adopt(sessions, parent_id, *range(3))
    start(sessions, running)
    tables.dispatch(sessions, dispatched)
    finish(sessions, parent_id, Status.FAILED)
    assert tables.claim(sessions, dispatched) is None
    with sessions.begin() as session:
        assert window.refill(session, "alpha", tables.LEASE_S) == []
    sweep(made(sessions, client, Post(client)))
    assert statuses(sessions, dispatched, running, queued) == ["cancelled"] * 3


def test_children_start_whichever_other_parents_have_ended(sessions: Sessions, caller: Caller) -> None:
    """Of its own parent a child asks whether that has ended."""
    ended, going = (tables.parent(sessions, caller, children=2, goes_on_in="beta") for _ in range(2))
    with sessions.begin() as session:
        tables.put(session, ended, Status.FAILED, finished_at=dt.datetime.now(dt.UTC))
    theirs, own = tables.children(sessions, ended), tables.children(sessions, going)
    tables.dispatch(sessions, *theirs, *own)
    with sessions.begin() as session:
        several = attempts.claim(session, [theirs[0], own[0]], queue="alpha", worker_id="w1")
    assert [claim is not None for claim in several] == [False, True]
    assert [tables.claim(sessions, child) is not None for child in (theirs[1], own[1])] == [False, True]


def test_parent_past_its_deadline_ends_with_its_children(
    sessions: Sessions, client: redis.Redis, parent_id: uuid.UUID
) -> None:
    """It counts while the parent waits, too."""
    tables.worker(sessions)
    [child_id] = adopt(sessions, parent_id, 0)
    wait(sessions, parent_id)
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET deadline_s = 0 WHERE id = :id"), {"id": parent_id})
    sweep(made(sessions, client, Post(client)))
    assert statuses(sessions, parent_id, child_id) == ["failed", "cancelled"]


def test_parent_that_was_missed_is_moved_on_by_the_sweep(
    sessions: Sessions, client: redis.Redis, parent_id: uuid.UUID
) -> None:
    """As if whoever ended the last child had not looked; one whose child is alive waits on."""
    tables.worker(sessions, model="beta")
    with sessions.begin() as session:
        tables.put(session, parent_id, Status.WAITING, queue="beta")
    post = Post(client)
    sweep(made(sessions, client, post))
    assert post.sent == [(str(parent_id), "beta.interactive")]


def test_child_that_the_sweep_ends_moves_its_parent_on_in_that_round(
    sessions: Sessions, client: redis.Redis, parent_id: uuid.UUID
) -> None:
    """And the parent's queue is refilled."""
    for model in ("alpha", "beta"):
        tables.worker(sessions, f"of {model}", model=model)
    [child_id] = adopt(sessions, parent_id, 0)
    start(sessions, child_id)
    wait(sessions, parent_id)
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET deadline_s = 0 WHERE id = :id"), {"id": child_id})
    post = Post(client)
    sweep(made(sessions, client, post))
    assert statuses(sessions, child_id) == ["failed"]
    assert post.sent == [(str(parent_id), "beta.interactive")]


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(ends=st.lists(st.sampled_from(ENDS), min_size=1, max_size=5), order=st.randoms(), waits_at=st.integers(0, 5))
def test_parent_goes_on_exactly_once(
    sessions: Sessions, caller: Caller, client: redis.Redis, ends: list[str], order: Any, waits_at: int
) -> None:
    """However its children end, in whatever order, two at a time, and whenever it begins to wait."""
    parent_id = hooks.begin(sessions, caller)
    children = dict(zip(adopt(sessions, parent_id, *range(len(ends))), ends, strict=True))
    start(sessions, *(job_id for job_id, end in children.items() if end != "cancelled unstarted"))
    acts = list(children.items())
    order.shuffle(acts)
    acts.insert(min(waits_at, len(acts)), (parent_id, "wait"))
    woken: list[int] = []  # as each act tells it; a sum that two threads add to would lose some

    def run(mine: list[tuple[uuid.UUID, str]]) -> None:
        for job_id, act in mine:
            if act == "wait":
                with sessions.begin() as session:
                    onward = Onward(stages.GENERATE, "beta", wait_for_children=True)
                    assert attempts.advance(session, parent_id, 1, Transcript(), onward)
                    session.expire_all()
                    woken.append(jobs.find(session, caller, parent_id)[0].status == "queued")
            elif act.startswith("cancelled"):
                _, closings = endings.cancel(sessions, client, caller, job_id, 60)
                woken.append(len(endings.follow_up(sessions, client, closings, 60)))
            else:
                woken.append(len(finish(sessions, job_id, Status(act))))

    threads = [threading.Thread(target=run, args=(acts[half::2],)) for half in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses(sessions, parent_id) == ["queued"]
    assert sum(woken) == 1
    assert statuses(sessions, *children) == [end.split()[0] for end in children.values()]
    assert {len(tables.usage_rows(sessions, job_id)) for job_id in children} == {1}
    with sessions.begin() as session:
        session.execute(text("DELETE FROM job_attempts; DELETE FROM job_outputs; DELETE FROM jobs"))
