"""Batch generations hand their slots to interactive jobs that wait for one, and go on afterwards where they were."""

import threading
from dataclasses import replace

import pytest

from db import windows
from db.session import Sessions
from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tasks.queues import broker
from tasks.streams import stream
from tests import tables
from tests.support.waiting import until
from tests.workers.dispatched import dispatched
from workers import run
from workers.attempt import Stop
from workers.engines.echo import Echo
from workers.worker import Worker
from workers.yielding import Yielding

TEXT = " ".join(map(str, range(25)))


@pytest.fixture
def full(sessions: Sessions, caller: Caller, worker: Worker) -> list[threading.Thread]:
    """Every slot of the worker has a batch generation that has begun to speak; the last began last."""
    assert isinstance(worker.engine, Echo)
    worker.engine.token_s = 0.2
    return [begun(sessions, caller, worker) for _ in range(worker.slots)]


def begun(sessions: Sessions, caller: Caller, worker: Worker) -> threading.Thread:
    job_id = dispatched(sessions, caller, lane="batch", input={"prompt": TEXT})
    thread = threading.Thread(target=run.run, args=(worker, job_id))
    thread.start()
    until(lambda: len(stream.read(worker.client, job_id)) > 1)
    return thread


def waits(worker: Worker, number: int = 1) -> None:
    """So many interactive jobs' wake-ups are in Redis."""
    for _ in range(number):
        lane = broker.lane(worker.queue, "interactive")
        worker.sweeper.queues.lpush(broker.KEY_PREFIX + lane, broker.message(ids.new(), lane))


def ended(threads: list[threading.Thread], worker: Worker) -> None:
    for attempt in worker.held():
        attempt.stop(Stop.ENDED)
    for thread in threads:
        thread.join()


def test_the_one_that_has_said_least_yields_and_goes_on_later(
    sessions: Sessions, caller: Caller, worker: Worker, full: list[threading.Thread]
) -> None:
    """Its job waits again, with what was streamed, and counts no crash."""
    assert Yielding(worker).look() == []  # nobody waits
    waits(worker)
    [attempt] = Yielding(worker).look()
    assert attempt.claim.job_id == list(worker.attempts)[-1]
    assert Yielding(worker).look() == []  # a slot is being given already
    full[-1].join()
    job_id = attempt.claim.job_id
    assert tables.column(sessions, job_id, "status") == Status.QUEUED
    assert tables.column(sessions, job_id, "crashes") == 0
    assert isinstance(worker.engine, Echo)
    worker.engine.token_s = 0
    ended(full, worker)
    tables.dispatch(sessions, job_id)
    again = run.run(worker, job_id)
    assert again is not None
    assert again.result is not None
    assert again.result["text"].strip() == TEXT
    assert again.attempt == 2


def test_nobody_yields_while_a_slot_is_free(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    assert isinstance(worker.engine, Echo)
    worker.engine.token_s = 0.2
    thread = begun(sessions, caller, worker)
    waits(worker)
    assert Yielding(worker).look() == []
    ended([thread], worker)


def test_who_was_stopped_often_runs_to_its_end(worker: Worker, full: list[threading.Thread]) -> None:
    """Each time its prompt is evaluated again: a storm of chats must not have that done for ever."""
    for attempt in worker.held():
        for _ in range(3):
            Yielding(worker)._note(attempt)
    waits(worker)
    assert Yielding(worker).look() == []
    ended(full, worker)


def test_whose_workers_were_lost_yields_as_any_other(worker: Worker, full: list[threading.Thread]) -> None:
    """Attempts that ended in other ways aren't yields."""
    for attempt in worker.held():
        object.__setattr__(attempt.claim, "attempt", 9)
    waits(worker)
    assert len(Yielding(worker).look()) == 1
    ended(full, worker)


def test_of_several_full_workers_one_gives_a_slot_for_each_that_waits(
    sessions: Sessions, caller: Caller, worker: Worker, full: list[threading.Thread]
) -> None:
    """The queue is theirs together: for one chat one line stops, not one of each worker's."""
    other = replace(worker, id="w2", attempts=dict(worker.attempts), batch_runs=threading.Event())
    waits(worker)
    assert len(Yielding(other).look()) == 1
    assert Yielding(worker).look() == []
    waits(worker)
    assert len(Yielding(worker).look()) == 1
    ended(full, worker)


def test_promoted_job_keeps_its_slot(sessions: Sessions, worker: Worker, full: list[threading.Thread]) -> None:
    """It went ahead of interactive work that never ends: such work always waits."""
    with sessions.begin() as session:
        windows.note_promotion(session, worker.queue)
    waits(worker, 2)
    assert Yielding(worker).look() == []
    ended(full, worker)


def test_batch_work_stands_still_for_what_is_announced(
    redis_url: str, sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """By whoever sends wake-ups, while any of it runs; where none does, nobody listens."""
    assert isinstance(worker.engine, Echo)
    worker.engine.token_s = 0.2
    expected, sender = threading.Event(), broker.Sender(redis_url, timeout_s=5)
    worker.courtesy.expect = expected.set  # type: ignore[method-assign]
    tending = threading.Thread(target=Yielding(worker).run)
    tending.start()
    assert not sender.announce(worker.queue)
    thread = begun(sessions, caller, worker)
    until(lambda: sender.announce(worker.queue))
    assert expected.wait(5)
    ended([thread], worker)
    until(lambda: not sender.announce(worker.queue))
    worker.gone.set()
    tending.join()
    sender.close()


def test_looks_only_while_batch_jobs_run(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """The thread sleeps until one enters."""
    assert isinstance(worker.engine, Echo)
    worker.engine.token_s = 0.2
    assert not worker.batch_runs.is_set()
    thread = begun(sessions, caller, worker)
    assert worker.batch_runs.is_set()
    ended([thread], worker)
    Yielding(worker).look()
    assert not worker.batch_runs.is_set()
