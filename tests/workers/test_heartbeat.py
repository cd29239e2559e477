"""A worker's heartbeat, on real PostgreSQL."""

from sqlalchemy import Connection, event, text

from db import workers
from db.session import Sessions
from tasks.keys import Caller
from tests import tables
from workers import heartbeat
from workers.worker import Worker


def test_idle_worker_renews_its_lease_without_a_transaction(worker: Worker, sessions: Sessions) -> None:
    """It holds nothing, and PostgreSQL knows of nothing that it should: one statement says both."""
    begun: list[str] = []
    engine = worker.upkeep.kw["bind"]

    def note(_: Connection) -> None:
        begun.append("begin")

    tables.silence(sessions, worker.id, tables.LEASE_S + 1)
    event.listen(engine, "begin", note)
    heartbeat.beat(worker)
    event.remove(engine, "begin", note)
    assert begun == []
    with sessions() as session:
        assert workers.strength(session, worker.queue, tables.LEASE_S).workers == 1


def test_lease_is_renewed_while_somebody_holds_the_table_of_jobs(worker: Worker, sessions: Sessions) -> None:
    tables.silence(sessions, worker.id, tables.LEASE_S + 1)
    with sessions.begin() as session:
        session.execute(text("LOCK TABLE jobs"))
        heartbeat.beat(worker)
    with sessions() as session:
        assert workers.strength(session, worker.queue, tables.LEASE_S).workers == 1


def test_worker_that_was_silent_has_no_crash_counted_against_its_jobs(
    sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """It missed its lease, its job was taken, and then its heartbeat is back."""
    heartbeat.beat(worker)
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    claim = tables.claim(sessions, job_id, worker_id=worker.id)
    assert claim is not None
    with sessions.begin() as session:
        tables.lose(session, job_id, crashes=1)
    worker.beat_at -= 2 * worker.settings.shared.lease_s
    heartbeat.beat(worker)
    assert tables.column(sessions, job_id, "crashes") == 0


def test_worker_that_was_silent_says_anew_by_what_it_answers(sessions: Sessions, worker: Worker) -> None:
    """Its model was replaced meanwhile, as others say: what was noted as theirs it may answer yet."""
    worker.identity = "old"
    heartbeat.beat(worker)
    with sessions.begin() as session:
        workers.register(session, worker_id="other", queue=worker.queue, slots=1, identity="new")
    heartbeat.beat(worker)
    assert changes(sessions) == ["new"]
    worker.beat_at -= 2 * worker.settings.shared.lease_s
    heartbeat.beat(worker)
    assert changes(sessions) == ["new", "old"]


def changes(sessions: Sessions) -> list[str]:
    """By what models were said to answer, one after the other."""
    with sessions() as session:
        return list(session.scalars(text("SELECT identity FROM model_changes ORDER BY since")))
