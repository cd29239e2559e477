"""A worker's heartbeat, on real PostgreSQL."""

from db.session import Sessions
from tasks.keys import Caller
from tests import tables
from workers import heartbeat
from workers.worker import Worker


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
