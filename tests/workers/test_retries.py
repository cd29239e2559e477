"""A run that fails by the system's fault, and the next one."""

import time
import uuid
from typing import Any

import pytest

from db.session import Sessions
from tasks import errors
from tasks.jobs import attempts, jobs
from tasks.keys import Caller
from tasks.models.engine import Handle, Request
from tasks.streams import stream, transcript
from tests import tables
from tests.support import entries
from workers import run
from workers.engines.echo import Echo
from workers.worker import Worker


class Moody(Echo):
    """Raises what it is told, one error a run, and then works."""

    def __init__(self, *moods: Exception, after_tokens: bool = False) -> None:
        super().__init__("alpha", slots=1, context=64)
        self._moods, self._after_tokens = list(moods), after_tokens

    def generate(self, request: Request) -> Handle:
        handle = super().generate(request)
        if self._moods:
            return _Failing(handle, self._moods.pop(0), reads=2 if self._after_tokens else 0)
        return handle


class _Failing:
    """A generation that breaks off after some reads."""

    def __init__(self, handle: Handle, error: Exception, reads: int) -> None:
        self._handle, self._error, self._reads = handle, error, reads

    def read(self, timeout_s: float, *, gather: bool = False) -> Any:
        if not self._reads:
            raise self._error
        self._reads -= 1
        return self._handle.read(timeout_s, gather=gather)[:1]

    def cancel(self) -> None:
        self._handle.cancel()

    def close(self) -> None:
        self._handle.close()


def dispatched(sessions: Sessions, caller: Caller) -> uuid.UUID:
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    return job_id


def hows(sessions: Sessions, job_id: uuid.UUID) -> list[tuple[str, str | None]]:
    with sessions() as session:
        return [(attempt["how"], attempt["error_code"]) for attempt in attempts.shown(session, job_id)]


@pytest.mark.parametrize(
    ("mood", "code"),
    [
        (errors.EngineError("the engine host answered 500"), "engine_error"),
        (ZeroDivisionError("a slip"), "internal"),
    ],
)
def test_run_that_failed_by_the_systems_fault_goes_on_in_the_next(
    sessions: Sessions, caller: Caller, worker: Worker, mood: Exception, code: str
) -> None:
    """The reader sees a pause, then the next token; the job knows of both attempts and is charged once."""
    worker.engine = Moody(mood, after_tokens=True)
    job_id = dispatched(sessions, caller)
    run.run(worker, job_id)
    assert tables.column(sessions, job_id, "status") == "scheduled"
    assert tables.usage_rows(sessions, job_id) == []
    tables.dispatch(sessions, job_id)
    worker.renew(time.monotonic())
    run.run(worker, job_id)
    with sessions() as session:
        record = jobs.get(session, caller, job_id)
    assert record.result == {"text": "one two three four", "finish_reason": "stop"}
    assert tables.usage_rows(sessions, job_id) == [(4, 4)]
    assert hows(sessions, job_id) == [("failed", code), ("succeeded", None)]
    events = stream.read(worker.client, job_id)
    assert [event.entry.seq for event in events] == list(range(1, len(events) + 1))
    assert "resumed" in entries.told(events)
    assert transcript.fold(event.entry for event in events[:-1]).text == "one two three four"


def test_job_error_is_final_at_once(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """Another attempt wouldn't help."""
    worker.engine = Moody(errors.EngineRefused("no such grammar"))
    job_id = dispatched(sessions, caller)
    run.run(worker, job_id)
    assert tables.column(sessions, job_id, "error_code") == "engine_refused"
    assert hows(sessions, job_id) == [("failed", "engine_refused")]


def test_system_that_stays_sick_fails_the_job_after_three_attempts(
    sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """Its code is the last error's, and the stream ends."""
    worker.engine = Moody(*(errors.EngineError("the engine host answered 500") for _ in range(3)))
    job_id = dispatched(sessions, caller)
    for _ in range(2):
        worker.renew(time.monotonic())
        run.run(worker, job_id)
        assert tables.column(sessions, job_id, "status") == "scheduled"
        tables.dispatch(sessions, job_id)
    run.run(worker, job_id)
    assert tables.column(sessions, job_id, "error_code") == "engine_error"
    assert hows(sessions, job_id) == [("failed", "engine_error")] * 3
    assert entries.told(stream.read(worker.client, job_id))[-1] == "failed"
