"""Everybody ends the same jobs at once."""

import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field

import redis
from sqlalchemy import text

from db.session import Sessions
from tasks import errors
from tasks.jobs import attempts, endings
from tasks.jobs.lifecycle import TERMINAL, Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tests import tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep

JOBS = 80


@dataclass(slots=True)
class Race:
    """Threads that end the same jobs, and which of them each was ended by."""

    sessions: Sessions
    client: redis.Redis
    caller: Caller
    won: Counter[uuid.UUID] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def finish(self, job_id: uuid.UUID, status: Status) -> bool:
        error = ("engine_refused", "no") if status == Status.FAILED else None
        try:
            with self.sessions.begin() as session:
                outcome = Outcome(status, Spent(1, 1), error=error)
                tables.finish(session, job_id, 1, Transcript(), outcome, told=False)
        except errors.Fenced:
            return False
        return True

    def cancel(self, job_id: uuid.UUID) -> bool:
        return endings.cancel(self.sessions, self.client, self.caller, job_id, 60)[1] != []

    def end_all(self, how: str, order: list[uuid.UUID]) -> None:
        for job_id in order:
            ended = self.cancel(job_id) if how == Status.CANCELLED else self.finish(job_id, Status(how))
            if ended:
                with self._lock:
                    self.won[job_id] += 1

    def sweep(self) -> None:
        sweeper = made(self.sessions, self.client, Post(self.client), lease_s=60)
        while not self.over.is_set():
            sweep(sweeper)

    def run(self, job_ids: list[uuid.UUID]) -> None:
        """Eight at once, in both directions."""
        sweepers = [threading.Thread(target=self.sweep) for _ in range(2)]
        racers = [
            threading.Thread(target=self.end_all, args=(how, order))
            for how in ("succeeded", "failed", "cancelled")
            for order in (job_ids, job_ids[::-1])
        ]
        for thread in (*sweepers, *racers):
            thread.start()
        for thread in racers:
            thread.join()
        self.over.set()
        for thread in sweepers:
            thread.join()


def lined_up(sessions: Sessions, caller: Caller) -> list[uuid.UUID]:
    """Of each four jobs one waits and is late, one has lost its worker, one is overdue, and one just runs."""
    with sessions.begin() as session:
        job_ids = [tables.accept(session, caller, tables.submission()).id for _ in range(JOBS)]
    tables.dispatch(sessions, *job_ids)
    tables.worker(sessions, "w1")
    for number, job_id in enumerate(job_ids):
        if number % 4:
            assert tables.claim(sessions, job_id, worker_id="lost" if number % 4 == 1 else "w1")
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET expires_at = now() WHERE started_at IS NULL"))
        session.execute(text("UPDATE jobs SET deadline_s = 0 WHERE id = ANY(:ids)"), {"ids": job_ids[2::4]})
    return job_ids


def test_each_job_ends_once_whoever_races(sessions: Sessions, client: redis.Redis, caller: Caller) -> None:
    """Success, failure, cancelling, expiry, deadlines and lost leases: one end each, one usage row each."""
    job_ids = lined_up(sessions, caller)
    race = Race(sessions, client, caller)
    race.run(job_ids)
    with sessions() as session:
        statuses = {row.id: row.status for row in session.execute(text("SELECT id, status FROM jobs"))}
        spent = Counter(session.execute(text("SELECT job_id FROM ledger")).scalars())
        told = [attempt for job_id in job_ids for attempt in attempts.shown(session, job_id)]
    swept = {status for job_id, status in statuses.items() if job_id not in race.won}
    assert set(statuses.values()) <= TERMINAL
    assert len(set(statuses.values())) > 1, "one of them was always first: nobody raced"
    assert swept, "the sweep ended nothing: it didn't race"
    assert swept <= {"expired", "failed"}
    assert max(race.won.values()) == 1
    assert spent == Counter(job_ids)
    assert all(attempt["how"] for attempt in told)
