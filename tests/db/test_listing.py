"""Lists: whose jobs they show, in which order, and that they read no more as the tables grow."""

import datetime as dt
import itertools
import uuid
from typing import Any

import pytest
from sqlalchemy import text

from benchmarks import crowd, growth
from benchmarks.plans import Cost
from db import listing, migrate
from db import session as db_session
from db.session import Sessions
from tasks.jobs import jobs
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tasks.queues.places import POSITION_CAP
from tests import tables
from tests.support import databases

KINDS = (("generate", "alpha"), ("chat", "alpha"), ("generate", "beta"))
STATUSES = (None, ("failed",), ("scheduled", "queued", "dispatched"), ("running", "waiting"), ("succeeded",))
TURNS = [{"role": "user", "content": "one"}]


def page(sessions: Sessions, caller: Caller, limit: int = 100, **filters: Any) -> list[uuid.UUID]:
    with sessions() as session:
        return [job.id for job, _ in listing.page(session, caller.tenant_id, limit=limit, **filters)]


def test_page_has_what_matches_newest_first(sessions: Sessions, caller: Caller) -> None:
    """Whole, or a few at a time after the last that was seen; never another tenant's."""
    made = []
    for owner in (tables.tenant(sessions, "theirs"), caller):
        for status, (type, model) in itertools.product(Status, KINDS):
            given = {"messages": TURNS} if type == "chat" else None
            job_id = tables.submit(sessions, owner, type=type, model=model, input=given).id
            with sessions.begin() as session:
                tables.put(session, job_id, status)
            made.append((owner, job_id, status, type, model))
    for statuses, type, model in itertools.product(STATUSES, (None, "chat", "rag"), (None, "beta")):
        wanted = [
            job_id
            for owner, job_id, *kind in reversed(made)
            if owner is caller
            and (statuses is None or kind[0] in statuses)
            and type in (None, kind[1])
            and model in (None, kind[2])
        ]
        filters = {"statuses": statuses, "type": type, "model": model}
        assert page(sessions, caller, **filters) == wanted
        assert page(sessions, caller, limit=2, **filters) == wanted[:2]
        for seen, last in enumerate(wanted, 1):
            assert page(sessions, caller, limit=2, before=last, **filters) == wanted[seen : seen + 2]


def test_page_since_a_moment_has_what_was_made_then_or_later(sessions: Sessions, caller: Caller) -> None:
    """Also one whose id was made before that, with what its transaction began with."""
    early, late = (tables.submit(sessions, caller) for _ in range(2))
    with sessions() as session:
        since = late.created_at
        assert [job.id for job in jobs.page(session, caller, limit=9, since=since)[0]] == [late.id]
        moments = (dt.datetime.min.replace(tzinfo=dt.UTC), early.created_at - dt.timedelta(days=1))
        for since in moments:
            assert [job.id for job in jobs.page(session, caller, limit=9, since=since)[0]] == [late.id, early.id]
        later = late.created_at + dt.timedelta(days=1)
        assert jobs.page(session, caller, limit=9, since=later) == ([], False)
    with sessions.begin() as session:
        moved = text("UPDATE jobs SET created_at = created_at + interval '5 minutes' WHERE id = :id")
        session.execute(moved, {"id": early.id})
    with sessions() as session:
        since = late.created_at + dt.timedelta(minutes=1)
        assert [job.id for job in jobs.page(session, caller, limit=9, since=since)[0]] == [early.id]


@pytest.fixture(scope="module")
def costs(postgres_url: str) -> dict[str, Cost]:
    """What it costs to ask among fifteen thousand jobs."""
    with databases.beside(postgres_url, "growth") as url:
        migrate.upgrade(url)
        with databases.pool(url) as engine:
            sessions = db_session.open_sessions(engine)
            with sessions.begin() as session:
                owners = crowd.fill(session, ended=10_000, waiting=5_000)
                session.execute(text("ANALYZE jobs, ledger"))
                session.execute(text("SELECT brin_summarize_new_values('ledger_ended')"))  # as autovacuum does
            return growth.asked(engine, owners)


def test_lists_read_little_more_than_they_show(costs: dict[str, Cost]) -> None:
    """A page of each kind at most, by the indexes that are there for them, among whatever number of jobs."""
    lists = {name: cost for name, cost in costs.items() if name.startswith("list")}
    assert len(lists) >= 15
    assert {name: cost.rows for name, cost in lists.items() if cost.rows > 300} == {}
    meant = {"jobs_listed", "jobs_moving", "jobs_pkey", "job_outputs_pkey"}
    assert {name: cost.indexes - meant for name, cost in lists.items() if cost.indexes - meant} == {}


def test_positions_are_counted_to_the_cap_and_no_further(costs: dict[str, Cost]) -> None:
    """A tenant's own, and for batch work the interactive; behind a thousand of those nobody else is counted."""
    positions = {name: cost.rows for name, cost in costs.items() if name.startswith("position")}
    assert len(positions) == 4
    assert {name: rows for name, rows in positions.items() if rows > 2.1 * POSITION_CAP} == {}


def test_usage_reads_sums_and_what_has_not_been_added(costs: dict[str, Cost]) -> None:
    """As many rows as days, where the ledger has thousands."""
    month = costs["a month's usage, the big tenant's"]
    assert month.rows < 300 < costs["a month's usage, the big tenant's, from the ledger"].rows
    assert month.indexes <= {"ledger_ended", "usage_days_pkey"}
