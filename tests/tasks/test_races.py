"""Everybody ends the same jobs at once."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable

import redis
from sqlalchemy import text

from db.session import Sessions
from tasks import attempts, ending, errors, jobs
from tasks.jobs import Outcome
from tasks.keys import Caller
from tasks.lifecycle import TERMINAL, Status
from tasks.transcript import Transcript
from tests import tables
from tests.tasks.sweeping import Post, made, sweep

JOBS = 200

End = Callable[[uuid.UUID], bool]


def test_each_job_ends_once_whoever_races(sessions: Sessions, client: redis.Redis, caller: Caller) -> None:
    """Two that succeed, two that fail, two that cancel, and two that sweep up deadlines, expiries and lost leases.

    All run against one another over the same jobs: each job has one end, one usage row, and an end that stays.
    """
    with sessions.begin() as session:
        made_ids = [jobs.submit(session, tables.MODELS, caller, tables.submission()).id for _ in range(JOBS)]
    tables.dispatch(sessions, *made_ids)
    for number, job_id in enumerate(made_ids):
        if number % 4:
            assert tables.claim(sessions, job_id, worker_id="lost" if number % 4 == 1 else "w1")
    tables.worker(sessions, "w1")
    with sessions.begin() as session:
        # Of the waiting every fourth is late, of the running one in three is overdue, and one in three lost its worker.
        session.execute(text("UPDATE jobs SET expires_at = now() WHERE started_at IS NULL"))
        session.execute(text("UPDATE jobs SET deadline_s = 0 WHERE id = ANY(:ids)"), {"ids": made_ids[2::4]})

    def finish(job_id: uuid.UUID, status: Status) -> bool:
        error = ("engine_refused", "no") if status == Status.FAILED else None
        try:
            with sessions.begin() as session:
                jobs.finish(session, job_id, 1, Transcript(), Outcome(status, 1, 1, error=error))
        except errors.Fenced:
            return False
        return True

    def cancel(job_id: uuid.UUID) -> bool:
        with sessions.begin() as session:
            return ending.cancel(session, client, caller, job_id, 60)[1] is not None

    ends: dict[str, End] = {
        "succeeded": lambda job_id: finish(job_id, Status.SUCCEEDED),
        "failed": lambda job_id: finish(job_id, Status.FAILED),
        "cancelled": cancel,
    }
    won: Counter[uuid.UUID] = Counter()
    lock = threading.Lock()

    def race(end: End, order: list[uuid.UUID]) -> None:
        for job_id in order:
            if end(job_id):
                with lock:
                    won[job_id] += 1

    racing = threading.Event()
    sweeper = made(sessions, client, Post(client), lease_s=60)

    def sweep_until_over() -> None:
        own = made(sessions, client, Post(client), lease_s=60)
        while not racing.is_set():
            sweep(own)

    orders = (made_ids, made_ids[::-1])
    racers = [threading.Thread(target=race, args=(end, order)) for end in ends.values() for order in orders]
    sweepers = [threading.Thread(target=sweep_until_over) for _ in range(2)]
    for thread in (*racers, *sweepers):
        thread.start()
    for thread in racers:
        thread.join()
    racing.set()
    for thread in sweepers:
        thread.join()
    sweep(sweeper)

    with sessions() as session:
        rows = session.execute(text("SELECT id, status FROM jobs")).all()
        spent = Counter(session.execute(text("SELECT job_id FROM usage")).scalars().all())
        told = [attempts.shown(session, job_id) for job_id in made_ids]
    assert {row.status for row in rows} <= TERMINAL
    assert Counter(row.status for row in rows).keys() >= {"succeeded", "failed", "cancelled"}
    assert spent == Counter(made_ids)
    assert max(won.values()) == 1
    by_sweep = {row.id for row in rows if row.id not in won}
    assert {row.status for row in rows if row.id in by_sweep} <= {"expired", "failed"}
    assert all(attempt["how"] for shown in told for attempt in shown)
