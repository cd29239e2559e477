"""In which order the lines of batches go: by priority, then by the ends of their windows, and turns stay above both."""

import datetime as dt
import itertools
import uuid
from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from db import turns
from db.session import Sessions
from tasks import ids
from tasks.batches import order
from tasks.jobs import jobs
from tasks.keys import Caller
from tasks.queues import window
from tests import tables

TENANTS = ("ours", "theirs", "others")
NOW = dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that waits with all its lines; a plain job of the batch lane where it has no window."""

    tenant: str
    priority: int
    window_h: int | None
    lines: int

    @property
    def due_at(self) -> dt.datetime:
        return NOW + (order.USUAL_WINDOW if self.window_h is None else dt.timedelta(hours=self.window_h))


BATCHES = st.builds(
    Waiting,
    st.sampled_from(TENANTS),
    st.sampled_from([0, 5, 9]),
    st.sampled_from([None, 1, 2, 24, 48]),
    st.integers(1, 4),
)
HYPOTHESIS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def submit(sessions: Sessions, caller: Caller, asked: Waiting) -> list[str]:
    """Writes the jobs down; their ids."""
    batch, made = ids.new(), []
    with sessions.begin() as session:
        for line in range(asked.lines if asked.window_h is not None else 1):
            wanted = tables.plan(session, caller, tables.submission(lane="batch", priority=asked.priority))
            if asked.window_h is not None:
                wanted = replace(wanted, job_id=order.line_id(batch, asked.due_at, (line // 2, line % 2), line))
            made.append(jobs.insert(session, caller, wanted)[0].id.hex)
    return made


@HYPOTHESIS
@given(batches=st.lists(BATCHES, max_size=8))
def test_windows_decide_within_a_tenant_and_turns_between_tenants(database: Engine, batches: list[Waiting]) -> None:
    """Within a tenant: priority, then the end of the window, then one batch after the other, each by its ranks."""
    sessions = tables.emptied(database)
    callers = {name: tables.tenant(sessions, name) for name in TENANTS}
    whose = {
        job_id: (number, line)
        for number, asked in enumerate(batches)
        for line, job_id in enumerate(submit(sessions, callers[asked.tenant], asked))
    }
    with sessions() as session:
        order_of_all = [found.job_id.hex for found in turns.next_queued(session, "alpha", "batch", 100)]
    assert sorted(order_of_all) == sorted(whose)
    served, total = Counter[str](), Counter(batches[number].tenant for number, _ in whose.values())
    for job_id in order_of_all:  # who is served has had no more than anybody who still waits
        tenant = batches[whose[job_id][0]].tenant
        assert all(served[tenant] <= served[other] for other in TENANTS if served[other] < total[other])
        served[tenant] += 1
    for tenant in TENANTS:
        own = [whose[job_id] for job_id in order_of_all if batches[whose[job_id][0]].tenant == tenant]
        for (earlier, _), (later, _) in itertools.pairwise(own):
            before, after = batches[earlier], batches[later]
            assert before.priority >= after.priority
            if before.priority == after.priority:
                assert before.due_at <= after.due_at
        runs = [[line for _, line in run] for _, run in itertools.groupby(own, key=lambda one: one[0])]
        assert all(run == sorted(run) for run in runs)
        windows = [batches[number].window_h for number, _ in own]
        if None not in windows:  # batches that end at one moment aren't mixed
            assert len(runs) == len({number for number, _ in own})


def test_position_of_a_line_counts_the_lines_whose_windows_end_before(database: Engine) -> None:
    sessions = tables.emptied(database)
    caller = tables.tenant(sessions)
    [late, _] = submit(sessions, caller, Waiting("ours", 5, 24, 2))
    submit(sessions, caller, Waiting("ours", 5, 2, 3))
    with sessions() as session:
        job = session.get_one(turns.Job, ids.parse(late, ""))
        assert turns.ahead(session, job, 100) == 3


def aged(sessions: Sessions, minutes: int, job_ids: list[str]) -> None:
    with sessions.begin() as session:
        given = {"minutes": minutes, "ids": [uuid.UUID(job_id) for job_id in job_ids]}
        since = "created_at - make_interval(mins => :minutes)"
        session.execute(text(f"UPDATE jobs SET created_at = {since} WHERE id = ANY(:ids)"), given)


def first_once_a_minute(sessions: Sessions, caller: Caller) -> str | None:
    with sessions() as session:
        found = turns.oldest(session, "alpha", "batch", [caller.tenant_id]).get(caller.tenant_id)
    return found.hex if found else None


def test_plain_job_of_a_low_priority_goes_before_lines_that_have_waited_less(database: Engine) -> None:
    """Whatever their ids say: those of an hour's window have a time of yesterday."""
    sessions = tables.emptied(database)
    caller = tables.tenant(sessions)
    low = submit(sessions, caller, Waiting("ours", 0, None, 1))
    high = submit(sessions, caller, Waiting("ours", 9, 1, 3))
    aged(sessions, 3, high)
    aged(sessions, 2, low)
    assert first_once_a_minute(sessions, caller) == high[0]  # also once a minute, the one that has waited longest
    aged(sessions, 2, low)
    assert first_once_a_minute(sessions, caller) == low[0]


def test_within_a_priority_the_end_of_the_window_decides_also_once_a_minute(database: Engine) -> None:
    """While young lines are the first, those behind them aren't looked for; the first of another priority is."""
    sessions = tables.emptied(database)
    caller = tables.tenant(sessions)
    plain = submit(sessions, caller, Waiting("ours", 5, None, 1))
    aged(sessions, 9, plain)
    young = submit(sessions, caller, Waiting("ours", 5, 1, 2))
    assert first_once_a_minute(sessions, caller) is None
    low = submit(sessions, caller, Waiting("ours", 0, 48, 1))
    aged(sessions, 2, low)
    assert first_once_a_minute(sessions, caller) == low[0]
    aged(sessions, 3, young)
    assert first_once_a_minute(sessions, caller) == young[0]


def test_batch_line_behind_endless_interactive_work_is_promoted(database: Engine) -> None:
    """By what it has waited, not by its id: a line of a short window that has just come isn't."""
    sessions = tables.emptied(database)
    caller = tables.tenant(sessions)
    tables.worker(sessions, slots=2)
    young = submit(sessions, caller, Waiting("ours", 5, 1, 1))
    old = submit(sessions, caller, Waiting("ours", 5, 48, 1))
    with sessions.begin() as session:
        assert window.promote_starved(session, "alpha") is None
    aged(sessions, 2, old)
    with sessions.begin() as session:
        promoted = window.promote_starved(session, "alpha")
    assert promoted == window.WakeUp(uuid.UUID(old[0]), "alpha.interactive")
    assert tables.column(sessions, uuid.UUID(young[0]), "status") == "queued"
