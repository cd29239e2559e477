"""In which order the lines of batches go: by priority, then by the ends of their windows, and turns stay above both."""

import datetime as dt
import itertools
from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from db import turns
from db.session import Sessions
from tasks import ids
from tasks.batches import order
from tasks.jobs import jobs
from tasks.keys import Caller
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
                wanted = replace(wanted, job_id=order.line_id(batch, asked.due_at, line, line))
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
