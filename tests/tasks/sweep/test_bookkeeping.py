"""What jobs used is added up: as the ledger has it at every moment, whoever ends jobs meanwhile."""

import datetime as dt
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from db import usage
from db.session import Sessions
from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tasks.sweep import bookkeeping
from tests import tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep

FIRST, LAST = dt.date(2020, 1, 1), dt.date(2999, 12, 31)
GROUPED = ("tenant_id", "day", "model", "kind")
_ENTER = """
INSERT INTO ledger (job_id, tenant_id, kind, model, lane, status, created_at, ended_at, period, ran_s, attempts,
                    prompt_tokens, completion_tokens, embedding_tokens, cached_tokens)
VALUES (:id, :tenant, :kind, :model, 'batch', 'succeeded', now(), clock_timestamp() - :ago, '2026-01-01', 1, '{}',
        :prompt, 2, 3, 1)
"""
_PLAIN = """
SELECT tenant_id, (ended_at AT TIME ZONE 'UTC')::date AS day, model, kind, count(*), sum(prompt_tokens),
       sum(completion_tokens), sum(embedding_tokens), sum(cached_tokens)
FROM ledger GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""


def enter(session: Session, caller: Caller, chance: random.Random, ago: dt.timedelta = dt.timedelta()) -> None:
    """A row of the ledger, as the end of a job at this moment writes it, or so long ago."""
    kind, model = chance.choice(("generate", "embed")), chance.choice(("alpha", "beta"))
    values = {"kind": kind, "model": model, "prompt": chance.randrange(100), "ago": ago}
    session.execute(text(_ENTER), {"id": ids.new(), "tenant": caller.tenant_id, **values})


def add(sessions: Sessions) -> bool:
    """A step without a margin: here nobody reads the clock in one transaction while another is noted."""
    with sessions.begin() as session:
        return bookkeeping.add(session, margin_s=0)


def add_all(sessions: Sessions) -> None:
    """Whatever ended in transactions that are over."""
    for _ in range(2):
        while not add(sessions):
            pass


def told(sessions: Sessions) -> list[tuple[Any, ...]]:
    with sessions() as session:
        return [tuple(row) for row in usage.of(session, FIRST, LAST, GROUPED)]


def plain(sessions: Sessions) -> list[tuple[Any, ...]]:
    """What the ledger's rows are, added up as they are."""
    with sessions() as session:
        return [tuple(row) for row in session.execute(text(_PLAIN))]


def added(sessions: Sessions) -> int:
    """How many jobs are in the sums."""
    with sessions() as session:
        return session.scalar(text("SELECT coalesce(sum(jobs), 0)::int FROM usage_days")) or 0


def ended(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalar(text("SELECT count(*) FROM ledger")) or 0


class Ends:
    """Ends of jobs in transactions that overlap: begun, committed and undone at any time."""

    def __init__(self, sessions: Sessions, callers: list[Caller], chance: random.Random) -> None:
        self.sessions, self.callers, self.chance = sessions, callers, chance
        self.open: list[Session] = []

    def begin(self) -> None:
        if len(self.open) < 4:
            self.open.append(self.sessions())
            self.go_on()

    def go_on(self) -> None:
        """One more job ends in one of the transactions."""
        if self.open:
            enter(self.chance.choice(self.open), self.chance.choice(self.callers), self.chance)

    def commit(self) -> None:
        self._over(Session.commit)

    def undo(self) -> None:
        self._over(Session.rollback)

    def _over(self, how: Callable[[Session], None]) -> None:
        if self.open:
            session = self.open.pop(self.chance.randrange(len(self.open)))
            how(session)
            session.close()


@pytest.mark.parametrize("seed", range(8))
def test_sums_are_the_ledgers_at_every_moment(sessions: Sessions, seed: int) -> None:
    """Over old rows, and ends whose transactions overlap with each other and with the chore; none lost or twice."""
    chance = random.Random(seed)
    callers = [tables.tenant(sessions, name) for name in ("ours", "theirs")]
    with sessions.begin() as session:
        for _ in range(30):
            enter(session, chance.choice(callers), chance, dt.timedelta(hours=chance.expovariate(1 / 100)))
    ends = Ends(sessions, callers, chance)
    steps = [ends.begin, ends.go_on, ends.commit, ends.undo, *[lambda: add(sessions)] * 3]
    for _ in range(80):
        chance.choice(steps)()
        assert told(sessions) == plain(sessions)
    while ends.open:
        ends.commit()
    add_all(sessions)
    assert (told(sessions), added(sessions)) == (plain(sessions), ended(sessions))


def test_end_that_is_committed_late_is_not_passed_by(sessions: Sessions, caller: Caller) -> None:
    """However long its transaction lasts: until it is over, nothing that ended after its beginning is added."""
    first, second = (tables.running(sessions, caller).job_id for _ in range(2))
    outcome = Outcome(Status.SUCCEEDED, Spent(3, 2))
    add_all(sessions)
    with sessions() as late:
        tables.finish(late, first, 1, Transcript(), outcome)
        add(sessions)  # notes: what has ended by now comes next
        with sessions.begin() as session:
            tables.finish(session, second, 1, Transcript(), outcome)
        for _ in range(5):
            assert not add(sessions)
        assert (added(sessions), told(sessions)[0][4]) == (0, 1)
        late.commit()
    add_all(sessions)
    assert (added(sessions), told(sessions)) == (2, plain(sessions))


def test_step_that_is_not_committed_is_as_if_it_had_not_been(sessions: Sessions, caller: Caller) -> None:
    """A process that dies between adding and moving the mark leaves neither."""
    with sessions.begin() as session:
        enter(session, caller, random.Random(1))
    add(sessions)
    for _ in range(3):
        with sessions() as dies:
            bookkeeping.add(dies, margin_s=0)
        assert (added(sessions), told(sessions)) == (0, plain(sessions))
    add_all(sessions)
    assert (added(sessions), told(sessions)) == (1, plain(sessions))


def test_many_that_add_at_once_add_each_row_once(sessions: Sessions, caller: Caller) -> None:
    chance = random.Random(2)
    with sessions.begin() as session:
        for hours in range(0, 200, 5):
            enter(session, caller, chance, dt.timedelta(hours=hours))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: add(sessions), range(80)))
    add_all(sessions)
    assert (told(sessions), added(sessions)) == (plain(sessions), 40)


def test_clock_that_was_set_back_has_the_days_added_up_anew(sessions: Sessions, caller: Caller) -> None:
    """What ends before the mark then would be missed: the mark goes back to the beginning of the clock's day."""
    chance = random.Random(3)
    with sessions.begin() as session:
        for hours in (-30, -3, 50):
            enter(session, caller, chance, dt.timedelta(hours=hours))
    add_all(sessions)
    with sessions.begin() as session:
        mark = usage.locked(session)
        ahead = mark.clock + dt.timedelta(hours=40)
        assert usage.add(session, mark.added_until, ahead)
        usage.move(session, ahead)
    assert added(sessions) == 3
    with sessions.begin() as session:
        enter(session, caller, chance)
    with capture_logs() as logs:
        assert not add(sessions)
    assert [log["event"] for log in logs] == ["usage_taken_back"]
    assert told(sessions) == plain(sessions)
    add_all(sessions)
    assert (told(sessions), added(sessions)) == (plain(sessions), 2)


def test_mark_of_another_server_is_noted_anew(sessions: Sessions, caller: Caller) -> None:
    """A dump brings the horizon of a server that had more transactions: it would never be reached."""
    with sessions.begin() as session:
        enter(session, caller, random.Random(4))
    add(sessions)
    with sessions.begin() as session:
        session.execute(text("UPDATE usage_mark SET horizon = 1000000000000"))
    add_all(sessions)
    assert (told(sessions), added(sessions)) == (plain(sessions), 1)


def test_jobs_that_are_erased_stay_counted(sessions: Sessions, caller: Caller) -> None:
    """Before they are added up, and after."""
    for add_up in (lambda: None, lambda: add_all(sessions)):
        job_id = tables.running(sessions, caller).job_id
        with sessions.begin() as session:
            tables.finish(session, job_id, 1, Transcript(), Outcome(Status.SUCCEEDED, Spent(3, 2)))
        add_up()
        with sessions.begin() as session:
            session.execute(text("DELETE FROM jobs WHERE id = :id"), {"id": job_id})
    assert [row[4:7] for row in told(sessions)] == [(2, 6, 4)]


def test_sweep_notes_and_adds_what_ended_longer_ago_than_the_margin(
    sessions: Sessions, client: redis.Redis, caller: Caller
) -> None:
    """Round by round; then it has nothing to do for a while."""
    with sessions.begin() as session:
        for seconds in (0, 2 * bookkeeping.MARGIN_S):
            enter(session, caller, random.Random(5), dt.timedelta(seconds=seconds))
    sweeper = made(sessions, client, Post(client))
    for _ in range(4):
        sweep(sweeper)
        with sessions.begin() as session:
            session.execute(text("UPDATE usage_mark SET noted_at = noted_at - interval '1 min'"))
    assert (told(sessions), added(sessions)) == (plain(sessions), 1)
    sweep(sweeper)
    with sessions() as session:
        assert session.scalar(bookkeeping.wanted(0)) is None
