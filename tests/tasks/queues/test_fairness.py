"""What the window promises about order: between lanes, priorities and tenants, and that nobody waits for ever."""

import uuid
from collections import Counter
from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from db.session import Sessions
from tasks.keys import Caller
from tasks.lifecycle import Status
from tasks.queues import window
from tasks.queues.dispatch import Dispatcher
from tasks.queues.sweep import Sweeper
from tests import tables

TENANTS = ("ours", "theirs", "others")
WAITING = st.lists(
    st.tuples(
        st.sampled_from(TENANTS), st.sampled_from(["interactive", "interactive", "batch"]), st.sampled_from([2, 5])
    ),
    max_size=24,
)


@dataclass(slots=True)
class Simulated:
    """Workers that do nothing but take the jobs of a window in its order and end them, and what was seen of it."""

    sessions: Sessions
    slots: int
    begun: list[uuid.UUID] = field(default_factory=list)
    queues: dict[str, list[uuid.UUID]] = field(default_factory=lambda: {"interactive": [], "batch": []})
    running: list[uuid.UUID] = field(default_factory=list)

    def refill(self) -> list[uuid.UUID]:
        tables.worker(self.sessions, slots=self.slots)  # its heart beats on, however long the test takes
        with self.sessions.begin() as session:
            tickets = window.refill(session, "alpha", tables.LEASE_S)
        for ticket in tickets:
            self.queues[ticket.queue.partition(".")[2]].append(ticket.job_id)
        return [ticket.job_id for ticket in tickets]

    def take(self) -> None:
        """Fills the free slots as Celery would: from the batch queue only when the interactive one is empty."""
        while len(self.running) < self.slots and any(self.queues.values()):
            job_id = (self.queues["interactive"] or self.queues["batch"]).pop(0)
            assert tables.claim(self.sessions, job_id)
            self.running.append(job_id)
            self.begun.append(job_id)

    def end_one(self) -> None:
        with self.sessions.begin() as session:
            tables.put(session, self.running.pop(0), Status.SUCCEEDED)


def waiting(sessions: Sessions) -> list[tuple[uuid.UUID, str, str, int]]:
    """(id, tenant, lane, priority) of whoever waits in PostgreSQL."""
    query = text(
        "SELECT j.id, t.name, j.lane, j.priority FROM jobs j JOIN tenants t ON t.id = j.tenant_id"
        " WHERE j.status = 'queued' ORDER BY j.id"
    )
    with sessions() as session:
        return [(row[0], row[1], row[2], row[3]) for row in session.execute(query)]


def in_window(sessions: Sessions) -> Counter[str]:
    """How many jobs each tenant has in the window or running."""
    query = text(
        "SELECT t.name FROM jobs j JOIN tenants t ON t.id = j.tenant_id WHERE j.status IN ('dispatched', 'running')"
    )
    with sessions() as session:
        return Counter(session.scalars(query))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(submitted=WAITING, slots=st.integers(1, 3))
def test_every_refill_keeps_the_order_and_everyone_is_served(
    postgres_url: str, submitted: list[tuple[str, str, int]], slots: int
) -> None:
    """Interactive first, then priority, then turns: who gets a place has at most one more than whoever still waits."""
    with tables.emptied(postgres_url) as sessions:
        callers = {name: tables.tenant(sessions, name) for name in TENANTS}
        for tenant, lane, priority in submitted:
            tables.submit(sessions, callers[tenant], lane=lane, priority=priority)
        simulated = Simulated(sessions, slots)
        while True:
            before = {job_id: (tenant, lane, priority) for job_id, tenant, lane, priority in waiting(sessions)}
            chosen = [before[job_id] for job_id in simulated.refill()]
            left, load = waiting(sessions), in_window(sessions)
            for tenant, lane, priority in chosen:
                for _, other, its_lane, its_priority in left:
                    assert (lane, its_lane) != ("batch", "interactive")
                    if lane == its_lane:
                        assert priority >= its_priority
                    if (lane, priority) == (its_lane, its_priority):
                        assert load[tenant] <= load[other] + 1
            simulated.take()
            if not simulated.running:
                break
            simulated.end_one()
        assert len(simulated.begun) == len(set(simulated.begun)) == len(submitted)


@pytest.mark.parametrize("queued", [200])
def test_tenant_with_a_long_queue_delays_anothers_next_job_by_a_window_at_most(
    sessions: Sessions, caller: Caller, queued: int
) -> None:
    other = tables.tenant(sessions, "theirs")
    for _ in range(queued):
        tables.submit(sessions, caller)
    simulated = Simulated(sessions, slots=2)
    simulated.refill()
    job_id = tables.submit(sessions, other).id
    while job_id not in simulated.begun:
        simulated.take()
        simulated.end_one()
        simulated.refill()
    assert len(simulated.begun) <= 2 * 2 + 1


class Post:
    """A sender that remembers into which queue it sent which job."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def send_task(self, name: str, *, args: list[str], task_id: str, queue: str, retry: bool) -> None:
        self.sent.append((args[0], queue))


@pytest.mark.parametrize("where", [Status.QUEUED, Status.DISPATCHED])
def test_batch_job_behind_endless_interactive_work_is_lifted_once_a_while(
    sessions: Sessions, caller: Caller, client: redis.Redis, where: Status
) -> None:
    """By the interactive queue, since nobody looks into the other; never a second one while one runs, or too soon."""
    tables.worker(sessions, slots=2)
    post = Post()
    sweeper = Sweeper(Dispatcher(post, sessions, tables.LEASE_S), client, client, tables.LEASE_S, ttl_s=60)  # type: ignore[arg-type]
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
        session.execute(text("UPDATE windows SET lifted_at = lifted_at - interval '2 minutes'"))
    assert swept() == []
    with sessions.begin() as session:
        tables.put(session, batch[0], Status.SUCCEEDED)
    assert swept() == [(str(batch[1]), "alpha.interactive")]
