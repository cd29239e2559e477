"""What Flower hears of jobs that didn't succeed."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

from db.session import Sessions
from tasks import ids, telemetry
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import tables
from tests.support.waiting import until
from tests.workers.dispatched import dispatched
from workers import notices, run
from workers.notices import Notices
from workers.worker import Worker


@dataclass
class Heard:
    """A dispatcher of events that keeps what it was to send. Of these groups, since a Flower listens."""

    enabled: bool = True
    groups: set[str] = field(default_factory=lambda: {"worker", "task"})
    sent: list[tuple[str, str, str]] = field(default_factory=list)

    def send(self, type: str, **fields: Any) -> None:
        self.sent.append((type, fields["uuid"], fields["result"]))


def put(sessions: Sessions, job_id: uuid.UUID, status: Status, **values: Any) -> None:
    with sessions.begin() as session:
        tables.put(session, job_id, status, **values)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def told(heard: Heard, sessions: Sessions) -> Notices:
    return Notices(lambda: heard, sessions)


@pytest.mark.parametrize(
    ("status", "code", "event", "result"),
    [
        (Status.FAILED, "context_length_exceeded", "task-failed", "context_length_exceeded"),
        (Status.CANCELLED, None, "task-revoked", "cancelled"),
        (Status.EXPIRED, None, "task-revoked", "expired"),
        (Status.SCHEDULED, None, "task-retried", "scheduled"),
        (Status.QUEUED, None, "task-retried", "queued"),
    ],
)
def test_flower_hears_how_a_job_stands_that_its_task_left(
    heard: Heard,
    told: Notices,
    sessions: Sessions,
    caller: Caller,
    status: Status,
    code: str | None,
    event: str,
    result: str,
) -> None:
    job_id = dispatched(sessions, caller)
    put(sessions, job_id, status, error_code=code)
    assert not told.left(job_id)
    assert heard.sent == [(event, ids.show(job_id), result)]


def test_job_that_succeeded_elsewhere_is_left_to_celery(
    heard: Heard, told: Notices, worker: Worker, caller: Caller
) -> None:
    """A message that came twice ends as well as the first did."""
    job_id = dispatched(worker.sessions, caller)
    ended = run.run(worker, job_id)
    assert ended is not None
    assert ended.status == Status.SUCCEEDED
    assert run.run(worker, job_id) is None
    assert told.left(job_id)
    assert heard.sent == []


def test_job_that_ran_in_the_turn_of_another_is_told_of_and_so_is_the_other(
    heard: Heard, told: Notices, sessions: Sessions, caller: Caller
) -> None:
    """Celery knows the task by the job that its message named. What failed is told of by whoever ended it."""
    named, ran = tables.submit(sessions, caller).id, uuid.uuid4()
    retried = ("task-retried", ids.show(named), "queued")
    told.exchanged(named, ran, succeeded=True)
    assert heard.sent == [retried, ("task-succeeded", ids.show(ran), "succeeded")]
    told.exchanged(named, ran, succeeded=False)
    assert heard.sent[2:] == [retried]


def test_job_whose_end_is_still_being_written_is_looked_at_again(
    heard: Heard, told: Notices, sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cancels stops the run first. A job that goes on elsewhere is given up."""
    monkeypatch.setattr(notices, "_PAUSE_S", 0.05)
    job_id = dispatched(sessions, caller)
    tables.claim(sessions, job_id)
    assert not told.left(job_id)
    assert heard.sent == []
    put(sessions, job_id, Status.CANCELLED)
    until(lambda: heard.sent)
    assert heard.sent == [("task-revoked", ids.show(job_id), "cancelled")]


def test_nothing_is_asked_or_sent_while_no_flower_listens(heard: Heard, caller: Caller) -> None:
    """Nor of a worker that has no dispatcher yet, or of a job that is gone."""
    heard.groups.remove("task")
    unasked: Any = None
    fact = telemetry.JobEnded(uuid.uuid4(), "generate", "alpha", "failed", "poison", 0, 0, 0)
    for events in (heard, None):
        deaf = Notices(lambda events=events: events, unasked)  # type: ignore[misc]
        assert not deaf.left(uuid.uuid4())
        deaf.ended(fact)
    assert heard.sent == []


def test_ends_are_heard_of_whoever_brought_them_about(heard: Heard, told: Notices) -> None:
    """The sweep's too: of a job that took its workers with it no task can tell."""
    job_id = uuid.uuid4()
    for status, code in (("failed", "poison"), ("succeeded", None)):
        told.ended(telemetry.JobEnded(job_id, "generate", "alpha", status, code, 0, 0, 0))
    assert heard.sent == [("task-failed", ids.show(job_id), "poison")]
