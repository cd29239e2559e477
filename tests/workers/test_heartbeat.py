"""What a worker does beside its slots."""

import os

import pytest

from db import attempts
from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import tables
from workers import heartbeat
from workers.worker import Worker


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses with which the process would have ended."""
    seen: list[int] = []
    monkeypatch.setattr(os, "_exit", seen.append)
    return seen


def slip() -> None:
    raise ZeroDivisionError("a slip that nobody foresaw")


def silence() -> None:
    """A loop that ends though nobody asked it to."""


@pytest.mark.parametrize("loop", [slip, silence])
def test_worker_whose_heart_ends_ends_with_it(worker: Worker, ends: list[int], loop: object) -> None:
    """Whoever supervises it starts another; alone it would hold its jobs without a sign."""
    heartbeat._vital(worker, loop)  # type: ignore[arg-type]
    assert ends == [heartbeat._THREAD_ENDED]


def test_threads_of_a_worker_that_goes_may_end(worker: Worker, ends: list[int]) -> None:
    worker.gone.set()
    heartbeat._vital(worker, silence)
    assert ends == []


def test_worker_that_was_silent_has_no_crash_counted_against_its_jobs(
    sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """Its heart missed a lease, its job was taken, and then it beats again."""
    heartbeat.beat(worker)
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    claim = tables.claim(sessions, job_id, worker_id=worker.id)
    assert claim is not None
    with sessions.begin() as session:
        tables.put(session, job_id, Status.DISPATCHED, crashes=1)
        attempts.end_open(session, job_id, claim.attempt, "lost")
    worker.beat_at -= 2 * worker.settings.shared.lease_s
    heartbeat.beat(worker)
    assert tables.column(sessions, job_id, "crashes") == 0
