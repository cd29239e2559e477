"""What the window promises about order: between lanes, priorities and tenants, and that nobody waits for ever."""

import itertools
import uuid
from collections import Counter
from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from db import turns
from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tasks.queues import places, window
from tests import tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made

TENANTS = ("ours", "theirs", "others", "fourth", "fifth", "sixth")
LANES = ("interactive", "batch")
PRIORITIES = st.integers(0, 9)
WAITING = st.lists(
    st.tuples(st.sampled_from(TENANTS), st.sampled_from(["interactive", "interactive", "batch"]), PRIORITIES),
    max_size=24,
)
HYPOTHESIS = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(slots=True)
class Simulated:
    """Workers that do nothing but take the jobs of a window in its order and end them, and what was seen of it."""

    sessions: Sessions
    slots: int
    begun: list[uuid.UUID] = field(default_factory=list)
    queues: dict[str, list[uuid.UUID]] = field(default_factory=lambda: {"interactive": [], "batch": []})
    running: list[uuid.UUID] = field(default_factory=list)

    def refill(self) -> list[uuid.UUID]:
        tables.worker(self.sessions, slots=self.slots)  # its heartbeats go on, however long the test takes
        with self.sessions.begin() as session:
            wake_ups = window.refill(session, "alpha", tables.LEASE_S)
        for wake_up in wake_ups:
            self.queues[wake_up.queue.partition(".")[2]].append(wake_up.job_id)
        return [wake_up.job_id for wake_up in wake_ups]

    def take(self) -> None:
        """Fills the free slots as Celery would: from the batch queue only when the interactive one is empty."""
        while len(self.running) < self.slots and any(self.queues.values()):
            job_id = (self.queues["interactive"] or self.queues["batch"]).pop(0)
            assert tables.claim(self.sessions, job_id)
            self.running.append(job_id)
            self.begun.append(job_id)

    def end_one(self, place: int = 0) -> None:
        with self.sessions.begin() as session:
            tables.put(session, self.running.pop(place), Status.SUCCEEDED)


def waiting(sessions: Sessions) -> list[tuple[uuid.UUID, str, str, int]]:
    """(id, tenant, lane, priority) of whoever waits in PostgreSQL."""
    query = text(
        "SELECT j.id, t.name, j.lane, j.priority FROM jobs j JOIN tenants t ON t.id = j.tenant_id"
        " WHERE j.status = 'queued' ORDER BY j.id"
    )
    with sessions() as session:
        return [(row[0], row[1], row[2], row[3]) for row in session.execute(query)]


def under_way(sessions: Sessions) -> Counter[tuple[str, str]]:
    """How many jobs each (tenant, lane) has in the window or running."""
    query = text(
        "SELECT t.name, j.lane FROM jobs j JOIN tenants t ON t.id = j.tenant_id"
        " WHERE j.status IN ('dispatched', 'running')"
    )
    with sessions() as session:
        return Counter((row[0], row[1]) for row in session.execute(query))


@HYPOTHESIS
@given(submitted=WAITING, slots=st.integers(1, 3))
def test_every_refill_keeps_the_order_and_everyone_is_served(
    database: Engine, submitted: list[tuple[str, str, int]], slots: int
) -> None:
    """Interactive first; then turns: who gets a place has at most one more than whoever still waits, whatever the
    priorities; and priority among the jobs of one tenant."""
    sessions = tables.emptied(database)
    callers = {name: tables.tenant(sessions, name) for name in TENANTS}
    for tenant, lane, priority in submitted:
        tables.submit(sessions, callers[tenant], lane=lane, priority=priority)
    simulated = Simulated(sessions, slots)
    while True:
        before = {job_id: (tenant, lane, priority) for job_id, tenant, lane, priority in waiting(sessions)}
        chosen = [before[job_id] for job_id in simulated.refill()]
        left, load = waiting(sessions), under_way(sessions)
        for tenant, lane, priority in chosen:
            for _, other, its_lane, its_priority in left:
                assert (lane, its_lane) != ("batch", "interactive")
                if lane == its_lane:
                    assert load[tenant, lane] <= load[other, lane] + 1
                if (tenant, lane) == (other, its_lane):
                    assert priority >= its_priority
        simulated.take()
        if not simulated.running:
            break
        simulated.end_one()
    assert len(simulated.begun) == len(set(simulated.begun)) == len(submitted)


@HYPOTHESIS
@given(submitted=WAITING, slots=st.integers(1, 2), ends=st.lists(st.integers(0, 9), min_size=20, max_size=20))
def test_nobody_with_nothing_under_way_is_passed_twice_by_another(
    database: Engine, submitted: list[tuple[str, str, int]], slots: int, ends: list[int]
) -> None:
    """Whatever the priorities, and whichever job ends first: of more tenants than places, each has its turn."""
    sessions = tables.emptied(database)
    for name in TENANTS:
        caller = tables.tenant(sessions, name)
        tables.submit(sessions, caller)
        for tenant, lane, priority in submitted:
            if tenant == name:
                tables.submit(sessions, caller, lane=lane, priority=priority)
    simulated, passed = Simulated(sessions, slots), Counter[tuple[str, str, str]]()
    for number in ends:
        before = {job_id: (tenant, lane) for job_id, tenant, lane, _ in waiting(sessions)}
        load = under_way(sessions)
        chosen = Counter(before[job_id] for job_id in simulated.refill())
        for tenant, lane, other in itertools.product(TENANTS, LANES, TENANTS):
            waits = (tenant, lane) in before.values() and not load[tenant, lane] + chosen[tenant, lane]
            passed[tenant, lane, other] = (passed[tenant, lane, other] + chosen[other, lane]) if waits else 0
        assert all(times <= 1 for times in passed.values())
        simulated.take()
        if simulated.running:
            simulated.end_one(number % len(simulated.running))


@HYPOTHESIS
@given(
    crowd=st.lists(PRIORITIES, min_size=1, max_size=20),
    priority=PRIORITIES,
    ended=st.integers(0, 6),
    slots=st.integers(1, 3),
)
def test_tenant_with_a_long_queue_delays_anothers_next_job_by_a_window_at_most(
    database: Engine, crowd: list[int], priority: int, ended: int, slots: int
) -> None:
    """Whatever the priorities of its jobs and of the other's, and whenever that comes."""
    sessions = tables.emptied(database)
    ours, theirs = (tables.tenant(sessions, name) for name in ("ours", "theirs"))
    for its_priority in crowd:
        tables.submit(sessions, ours, priority=its_priority)
    simulated = Simulated(sessions, slots)
    for _ in range(ended + 1):
        simulated.refill()
        simulated.take()
        if simulated.running:
            simulated.end_one()
    simulated.take()
    job_id = tables.submit(sessions, theirs, priority=priority).id
    before = len(simulated.begun)
    while job_id not in simulated.begun:
        simulated.refill()
        simulated.take()
        simulated.end_one()
    assert len(simulated.begun) - before <= 2 * slots + 1


@HYPOTHESIS
@given(submitted=WAITING, slots=st.integers(1, 2), ended=st.integers(0, 3))
def test_position_is_the_place_in_the_order(
    database: Engine, submitted: list[tuple[str, str, int]], slots: int, ended: int
) -> None:
    """Of every job that waits in PostgreSQL, and between any tenants: what is in the window, then as they come next."""
    sessions = tables.emptied(database)
    for tenant, lane, priority in submitted:
        tables.submit(sessions, tables.tenant(sessions, tenant), lane=lane, priority=priority)
    simulated = Simulated(sessions, slots)
    for _ in range(ended):
        simulated.refill()
        simulated.take()
        if simulated.running:
            simulated.end_one()
    with sessions() as session:
        order = [found.job_id for lane in LANES for found in turns.next_queued(session, "alpha", lane, 100)]
        waits = [places.wait(session, job_id, tables.LEASE_S) for job_id in order]
        in_window = session.scalar(text("SELECT count(*) FROM jobs WHERE status = 'dispatched'"))
    assert [wait and wait.position for wait in waits] == [in_window + place for place in range(len(order))]


def test_tenants_oldest_job_goes_first_once_a_minute_whatever_its_priority(sessions: Sessions, caller: Caller) -> None:
    """In either lane, in the place that its tenant has: no job waits for ever behind others of a higher priority."""
    for lane in LANES:
        old = [tables.submit(sessions, caller, lane=lane, priority=number).id for number in (3, 0, 0)]
        with sessions.begin() as session:
            session.execute(text("UPDATE jobs SET created_at = created_at - interval '2 minutes'"))
        urgent = [tables.submit(sessions, caller, lane=lane, priority=9).id for _ in range(6)]
        other = tables.submit(sessions, tables.tenant(sessions, "theirs"), lane=lane).id
        simulated = Simulated(sessions, slots=1 if lane == "interactive" else 3)

        def next_few(simulated: Simulated = simulated) -> list[uuid.UUID]:
            chosen = simulated.refill()
            for _ in chosen:
                simulated.take()
                simulated.end_one()
            return chosen

        assert next_few() == [old[0], other]
        assert next_few() == urgent[:2]
        with sessions.begin() as session:
            session.execute(text("UPDATE turns SET aged_at = aged_at - interval '2 minutes'"))
        assert next_few() == [old[1], urgent[2]]
        assert next_few() == urgent[3:5]
        with sessions.begin() as session:
            session.execute(text("UPDATE jobs SET status = 'cancelled' WHERE status = 'queued'"))


@pytest.mark.parametrize("where", [Status.QUEUED, Status.DISPATCHED])
def test_batch_job_behind_endless_interactive_work_is_promoted_once_a_while(
    sessions: Sessions, caller: Caller, client: redis.Redis, where: Status
) -> None:
    """By the interactive queue, since nobody looks into the other; never a second one while one runs, or too soon."""
    tables.worker(sessions, slots=2)
    post = Post()
    sweeper = made(sessions, client, post)
    with sessions.begin() as session:
        session.execute(text("UPDATE workers SET free = 0"))
    batch = [tables.submit(sessions, caller, lane="batch").id for _ in range(3)]
    for number in range(2):
        client.lpush("forebay:alpha.interactive", f"somebody else's {number}")

    def swept() -> list[tuple[str, str]]:
        with sessions.begin() as session:
            for job_id in batch:
                if where is Status.DISPATCHED and tables.column(sessions, job_id, "status") == Status.QUEUED:
                    tables.put(session, job_id, where, dispatched_at="2020-01-01T00:00:00Z")
        post.sent.clear()
        sweeper.sweep()
        return [(job_id, queue) for job_id, queue in post.sent if queue == "alpha.interactive"]

    assert swept() == []
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET created_at = created_at - interval '2 minutes'"))
    assert swept() == [(str(batch[0]), "alpha.interactive")]
    assert swept() == []
    tables.claim(sessions, batch[0])
    with sessions.begin() as session:
        session.execute(text("UPDATE windows SET promoted_at = promoted_at - interval '2 minutes'"))
    assert swept() == []
    with sessions.begin() as session:
        tables.put(session, batch[0], Status.SUCCEEDED)
    assert swept() == [(str(batch[1]), "alpha.interactive")]


def test_promotion_passes_over_those_that_have_just_come(sessions: Sessions, caller: Caller) -> None:
    """Who has the next turn with a young job, again and again another, keeps no other tenant from being promoted."""
    tables.worker(sessions, slots=2)
    young = tables.submit(sessions, caller, lane="batch").id
    old = tables.submit(sessions, tables.tenant(sessions, "theirs"), lane="batch").id
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET created_at = now() - interval '2 minutes' WHERE id = :id"), {"id": old})
        assert [found.job_id for found in turns.next_queued(session, "alpha", "batch", 2)] == [young, old]
        assert window.promote_starved(session, "alpha") == window.WakeUp(old, "alpha.interactive")
