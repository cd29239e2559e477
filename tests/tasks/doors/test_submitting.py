"""The desk: what is accepted, what is told to workers when, and whose job is cancelled when nobody waits any more."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import redis
from sqlalchemy.orm import Session

from db.session import Sessions
from tasks import errors
from tasks.doors.idempotency import IdempotencyClaim
from tasks.doors.reading import Reader
from tasks.doors.submitting import Desk, Make
from tasks.jobs import endings, jobs
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.jobs.requests import Plan
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.queues.window import WakeUp
from tasks.streams.transcript import Transcript
from tasks.telemetry import Fact, JobAccepted, JobEnded
from tests import tables


@dataclass(slots=True)
class Told:
    """A waker that remembers what it was told, and how the job stood in the database then."""

    sessions: Sessions
    said: list[tuple[str, WakeUp | None]] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)

    def deliver(self, queue: str, wake_up: WakeUp | None) -> None:
        if wake_up:
            assert tables.column(self.sessions, wake_up.job_id, "status") == Status.DISPATCHED
        self.said.append((queue, wake_up))
        self.asked.set()


@pytest.fixture
def told(sessions: Sessions) -> Told:
    return Told(sessions)


@pytest.fixture
def desk(sessions: Sessions, client: redis.Redis, redis_url: str, told: Told) -> Iterator[Desk]:
    reader = Reader(redis_url, sessions, tables.LEASE_S)
    yield Desk(sessions, tables.LEASE_S, 60, told, client, reader)
    reader.stop()


def make(caller: Caller) -> Make:
    return lambda session: tables.plan(session, caller, tables.submission())


def refused(_: Session) -> Plan:
    raise errors.ModelUnknown("model", "no such model")


def count(sessions: Sessions, caller: Caller) -> int:
    with sessions.begin() as session:
        return len(jobs.page(session, caller, limit=100)[0])


def test_facts_are_one_acceptance_and_one_end(caller: Caller, desk: Desk, facts: list[Fact]) -> None:
    """However often it is asked for either."""
    once = IdempotencyClaim("k", b"asked")
    [job, _], _ = desk.accept(caller, make(caller), once), desk.accept(caller, make(caller), once)
    for _ in range(2):
        desk.cancel(caller, job.id)
    assert facts == [
        JobAccepted(job.id, "generate", "alpha", "interactive"),
        JobEnded(job.id, "generate", "alpha", "cancelled", None, 0, 0, 0),
    ]


def test_accepted_job_is_told_once_it_is_committed(sessions: Sessions, caller: Caller, desk: Desk, told: Told) -> None:
    """Straight into the window where a worker has room; else the queue is only to be looked at."""
    waits, _ = desk.accept(caller, make(caller))
    assert told.said == [("alpha", None)]
    tables.worker(sessions)
    desk.cancel(caller, waits.id)
    told.said.clear()
    goes, replayed = desk.accept(caller, make(caller))
    assert (told.said[0], replayed) == (("alpha", WakeUp(goes.id, "alpha.interactive")), False)


def test_interactive_job_is_announced_before_it_is_written_down(
    sessions: Sessions, caller: Caller, redis_url: str, told: Told
) -> None:
    """Batch work stands still for it while it is; for a batch job none does."""
    announced = list[tuple[str, int]]()
    desk = Desk(sessions, waker=told, announce=lambda queue: announced.append((queue, count(sessions, caller))))
    desk.accept(caller, lambda session: tables.plan(session, caller, tables.submission(lane="batch")))
    desk.accept(caller, make(caller))
    assert announced == [("alpha", 1)]


def test_refused_job_leaves_nothing(sessions: Sessions, caller: Caller, desk: Desk, told: Told) -> None:
    """Neither a row nor a key that stands for it: the next request with the key is the first."""
    once = IdempotencyClaim("k", b"asked")
    with pytest.raises(errors.ModelUnknown):
        desk.accept(caller, refused, once)
    assert (count(sessions, caller), told.said) == (0, [])
    first, again = desk.accept(caller, make(caller), once), desk.accept(caller, make(caller), once)
    assert (first[0].id, first[1], again[1]) == (again[0].id, False, True)
    assert count(sessions, caller) == 1


def test_command_without_redis_leaves_its_jobs_to_the_sweep(sessions: Sessions, caller: Caller) -> None:
    """They wait in PostgreSQL though a worker has room: nobody could send their messages."""
    tables.worker(sessions)
    accepted, _ = Desk(sessions).accept(caller, make(caller))
    assert tables.column(sessions, accepted.id, "status") == Status.QUEUED


def test_cancel_is_told_to_the_queue_once(sessions: Sessions, caller: Caller, desk: Desk, told: Told) -> None:
    """The room it made may be another's; asking again changes and tells nothing."""
    job, _ = desk.accept(caller, make(caller))
    told.said.clear()
    assert [desk.cancel(caller, job.id).status for _ in range(2)] == [Status.CANCELLED] * 2
    assert told.said == [("alpha", None)]
    with pytest.raises(errors.NotFound):
        desk.cancel(tables.tenant(sessions, "theirs"), job.id)


def test_cancel_of_the_last_child_is_told_to_the_queue_its_parent_goes_on_in(
    sessions: Sessions, caller: Caller, desk: Desk, told: Told
) -> None:
    parent_id = tables.parent(sessions, caller, children=1, goes_on_in="beta")
    [child_id] = tables.children(sessions, parent_id)
    desk.cancel(caller, child_id)
    assert sorted(told.said) == [("alpha", None), ("beta", None)]


def test_answer_is_the_job_as_it_ended(
    sessions: Sessions, client: redis.Redis, caller: Caller, desk: Desk, told: Told
) -> None:
    """Whoever waits is given the result, or the error, as soon as it is there."""

    def work() -> None:
        assert told.asked.wait(60)
        with sessions.begin() as session:
            job_id = jobs.page(session, caller, limit=1)[0][0].id
        tables.dispatch(sessions, job_id)
        claim = tables.claim(sessions, job_id)
        assert claim is not None
        with sessions.begin() as session:
            outcome = Outcome(Status.SUCCEEDED, Spent(4, 1), {"text": "one"})
            closing = tables.finish(session, job_id, claim.attempt, Transcript(), outcome)
        endings.announce(client, [closing], 60)

    worker = threading.Thread(target=work)
    worker.start()
    answered = desk.answer(caller, make(caller), 30)
    worker.join()
    assert (answered.status, answered.result) == (Status.SUCCEEDED, {"text": "one"})


def test_job_that_nobody_waits_for_any_more_is_cancelled(sessions: Sessions, caller: Caller, desk: Desk) -> None:
    """After its time, or when its client has left: nobody else knows of it."""
    for wait_s, has_left in ((0.01, False), (30.0, True)):
        with pytest.raises(errors.NotInTime):
            desk.answer(caller, make(caller), wait_s, lambda has_left=has_left: has_left)
    with sessions.begin() as session:
        assert [job.status for job in jobs.page(session, caller, limit=9)[0]] == [Status.CANCELLED] * 2


def test_job_whose_wait_breaks_is_cancelled(sessions: Sessions, caller: Caller, desk: Desk) -> None:
    """Whoever asked is told of an error and never of the job, which would be charged all the same."""

    def broken() -> bool:
        raise errors.ShareUsedUp("connections")

    with pytest.raises(errors.ShareUsedUp):
        desk.answer(caller, make(caller), 30.0, broken)
    with sessions.begin() as session:
        assert [job.status for job in jobs.page(session, caller, limit=9)[0]] == [Status.CANCELLED]


def test_job_that_an_earlier_request_waits_for_goes_on(sessions: Sessions, caller: Caller, desk: Desk) -> None:
    """A request that repeats another may give up; the first may still have its answer."""
    once = IdempotencyClaim("k", b"asked")
    first, _ = desk.accept(caller, make(caller), once)
    with pytest.raises(errors.NotInTime):
        desk.answer(caller, make(caller), 0.01, once=once)
    assert tables.column(sessions, first.id, "status") == Status.QUEUED


def test_desk_tells_when_it_begins_to_wait(sessions: Sessions, caller: Caller, redis_url: str, told: Told) -> None:
    """Whoever shares a thread's turn with others gives it away then: the job is accepted already."""
    waiting = []
    reader = Reader(redis_url, sessions, tables.LEASE_S)
    client = redis.Redis.from_url(redis_url)
    desk = Desk(sessions, tables.LEASE_S, 60, told, client, reader, lambda: waiting.append(count(sessions, caller)))
    with pytest.raises(errors.NotInTime):
        desk.answer(caller, make(caller), 0.01)
    reader.stop()
    client.close()
    assert waiting == [1]
