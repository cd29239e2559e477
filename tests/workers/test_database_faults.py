"""A worker whose PostgreSQL is cut off, locked or in a deadlock at the wrong moment: one end, one usage row."""

import threading
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from db import session as db_session
from db.session import Sessions
from tasks.jobs import attempts
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams import stream
from tests import severed, tables
from tests.support.waiting import until
from tests.workers.conftest import MakeWorker
from workers import run, threads
from workers.attempt import Attempt
from workers.engines.echo import Echo
from workers.worker import Worker


def claimed(sessions: Sessions, caller: Caller) -> Attempt:
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    claim = tables.claim(sessions, job_id)
    assert claim is not None
    return Attempt(claim)


def finished(worker: Worker, attempt: Attempt) -> None:
    record = run.finish(worker, attempt, Outcome(Status.SUCCEEDED, Spent(4, 1), {"text": "x"}))
    assert record is not None
    assert (record.status, record.result) == ("succeeded", {"text": "x"})


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("told", [False, True], ids=["by itself", "within a transaction"])
def test_end_whose_answer_was_lost_is_looked_up(
    sessions: Sessions, caller: Caller, worker: Worker, postgres_url: str, tmp_path: Path, told: bool, moment: str
) -> None:
    """Whether the commit took place or not: the end is there once, and the worker knows it, to announce it."""
    attempt = Attempt(replace(claimed(sessions, caller).claim, told=told))
    with severed.wire(postgres_url, tmp_path) as (url, wire):
        engine = db_session.open_engine(url, pool_size=2)
        worker.sessions = db_session.open_sessions(engine)
        wire.commit = b"COMMIT" if told else b"INSERT INTO ledger"
        wire.armed = moment
        finished(worker, attempt)
        assert wire.fired == 1
        engine.dispose()
    assert tables.usage_rows(sessions, attempt.claim.job_id) == [(4, 1)]


def test_deadlock_at_the_end_is_waited_out(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """PostgreSQL ends one of two that wait for each other; where that is the worker's end, it is written again."""
    attempt = claimed(sessions, caller)
    job_id = attempt.claim.job_id
    with sessions.begin() as session:
        session.execute(
            text("INSERT INTO job_outputs (job_id, entries, token_ids) VALUES (:id, '[]', '{}')"), {"id": job_id}
        )
    ending = threading.Thread(target=finished, args=(worker, attempt))
    with capture_logs() as logs:
        with sessions.begin() as session:
            session.execute(text("SET LOCAL deadlock_timeout = '1 min'"))  # so it is the worker that finds it
            session.execute(text("SELECT 1 FROM job_outputs WHERE job_id = :id FOR UPDATE"), {"id": job_id})
            ending.start()
            until(lambda: _waits(sessions))
            session.execute(text("UPDATE jobs SET progress_done = 1 WHERE id = :id"), {"id": job_id})
        ending.join()
    assert any("deadlock detected" in entry.get("error", "") for entry in logs), logs
    assert tables.usage_rows(sessions, job_id) == [(4, 1)]
    assert tables.column(sessions, job_id, "status") == "succeeded"


def test_locked_jobs_table_costs_nobody_an_attempt(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    """No heartbeat gets through meanwhile, for longer than a lease: the run goes on, and is written when it can be."""
    worker = make_worker(lease_s=4)
    assert isinstance(worker.engine, Echo)
    worker.engine.token_s = 0.1
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    beside = threads.start(worker)
    running = threading.Thread(target=run.run, args=(worker, job_id))
    running.start()
    until(lambda: len(stream.read(worker.client, job_id)) >= 2)
    with sessions.begin() as session:
        session.execute(text("LOCK TABLE jobs"))
        session.execute(text("SELECT pg_sleep(:s)"), {"s": 5})
    running.join()
    worker.gone.set()
    worker.refiller.wake()
    for thread in beside:
        thread.join()
    assert _how(sessions, job_id) == ["succeeded"]
    assert tables.usage_rows(sessions, job_id) == [(4, 4)]


def _waits(sessions: Sessions) -> bool:
    """Whether anybody waits for a lock; a transaction would be told the same again and again."""
    with sessions() as session:
        query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(session.scalar(query))


def _how(sessions: Sessions, job_id: uuid.UUID) -> list[str]:
    with sessions() as session:
        return [attempt["how"] for attempt in attempts.shown(session, job_id)]
