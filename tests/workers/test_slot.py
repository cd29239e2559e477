"""When a job gives its slot back, on real PostgreSQL."""

import uuid

import pytest

from db.session import Sessions
from tasks import errors
from tasks.jobs import attempts, stages
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward
from tasks.keys import Caller
from tests import tables
from tests.workers.conftest import MakeWorker
from workers import slot
from workers.attempt import Attempt, Stop
from workers.worker import Worker


@pytest.fixture(autouse=True)
def looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot, "_LOOK_S", 0.0)


@pytest.fixture
def neighbour(sessions: Sessions) -> Caller:
    return tables.tenant(sessions, "neighbour")


def running(sessions: Sessions, caller: Caller, lane: str = "interactive") -> Attempt:
    return Attempt(tables.running(sessions, caller, lane=lane))


@pytest.fixture
def full(make_worker: MakeWorker) -> Worker:
    """A worker that has no slot free."""
    worker = make_worker()
    worker.slots = 0
    return worker


def waiting(sessions: Sessions, caller: Caller, lane: str = "interactive", status: Status = Status.QUEUED) -> uuid.UUID:
    job_id = tables.submit(sessions, caller, lane=lane).id
    with sessions.begin() as session:
        tables.put(session, job_id, status)
    return job_id


@pytest.mark.parametrize("status", [Status.QUEUED, Status.DISPATCHED])
def test_slot_is_wanted_by_a_tenant_who_waits_and_has_none(
    sessions: Sessions, caller: Caller, neighbour: Caller, full: Worker, status: Status
) -> None:
    held, attempt = full.slot(), running(sessions, caller)
    held.check(attempt)
    waiting(sessions, neighbour, status=status)
    with pytest.raises(errors.GaveWay):
        held.check(attempt)


def test_slot_is_wanted_until_tenants_have_as_many(
    sessions: Sessions, caller: Caller, neighbour: Caller, full: Worker
) -> None:
    """One more or less is no reason: the job would come back for the other's."""
    held, attempt = full.slot(), running(sessions, caller)
    running(sessions, neighbour)
    waiting(sessions, caller)
    waiting(sessions, neighbour)
    held.check(attempt)
    running(sessions, caller)
    held.check(attempt)
    running(sessions, caller)
    with pytest.raises(errors.GaveWay):
        held.check(attempt)


@pytest.mark.parametrize(
    ("own", "other", "gives"),
    [("batch", "interactive", True), ("batch", "batch", True), ("interactive", "batch", False)],
)
def test_interactive_work_gives_no_slot_to_batch_work(
    sessions: Sessions,
    caller: Caller,
    neighbour: Caller,
    full: Worker,
    own: str,
    other: str,
    gives: bool,
) -> None:
    held, attempt = full.slot(), running(sessions, caller, own)
    waiting(sessions, neighbour, other)
    if not gives:
        held.check(attempt)
        return
    with pytest.raises(errors.GaveWay):
        held.check(attempt)


def test_slot_is_kept_while_the_worker_has_another_that_is_free(
    sessions: Sessions, caller: Caller, neighbour: Caller, make_worker: MakeWorker
) -> None:
    waiting(sessions, neighbour)
    make_worker().slot().check(running(sessions, caller))


def test_stopped_attempt_is_stopped_whoever_waits(
    sessions: Sessions, caller: Caller, neighbour: Caller, full: Worker
) -> None:
    attempt = running(sessions, caller)
    waiting(sessions, neighbour)
    attempt.stop(Stop.ENDED)
    with pytest.raises(errors.Cancelled):
        full.slot().check(attempt)


@pytest.mark.parametrize(("stage", "crashes"), [(stages.GENERATE, 2), (stages.EMBED, 0)])
def test_crashes_count_on_in_the_same_stage_only(sessions: Sessions, caller: Caller, stage: str, crashes: int) -> None:
    """A job that gives its slot back before each crash would else be tried for ever."""
    attempt = running(sessions, caller)
    claim = attempt.claim
    with sessions.begin() as session:
        tables.put(session, claim.job_id, Status.RUNNING, crashes=2)
    with sessions.begin() as session:
        assert attempts.advance(session, claim.job_id, claim.attempt, claim.checkpoint, Onward(stage, "alpha"))
    assert tables.column(sessions, claim.job_id, "crashes") == crashes
