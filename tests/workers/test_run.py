"""A worker's runs, heartbeat and listener for cancellations, on real PostgreSQL and Redis with the echo engine."""

import threading
import time
import uuid
from dataclasses import replace

import pytest
import redis
import structlog
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from db import workers
from db.session import Sessions
from tasks import ids
from tasks.jobs import attempts, endings, jobs
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.models.engine import Prompt
from tasks.streams import stream, transcript
from tasks.streams.transcript import Transcript
from tests import tables
from tests.support import entries
from tests.support.waiting import until
from tests.workers.dispatched import dispatched
from workers import cancellations, heartbeat, run, threads
from workers.attempt import Attempt, Stop
from workers.engines.echo import Echo
from workers.patience import Patience
from workers.worker import Worker


def in_thread(worker: Worker, job_id: uuid.UUID) -> threading.Thread:
    """A run that has streamed something and goes on."""
    assert isinstance(worker.engine, Echo)
    worker.engine.token_s = 0.05
    thread = threading.Thread(target=run.run, args=(worker, job_id))
    thread.start()
    until(lambda: len(stream.read(worker.client, job_id)) > 1)
    return thread


def test_run_takes_a_job_from_message_to_record(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """Result, usage, stream and slot are all as they should be."""
    job_id = dispatched(sessions, caller)
    run.run(worker, job_id)
    with sessions() as session:
        record = jobs.get(session, caller, job_id)
    assert record.result == {"text": "one two three four", "finish_reason": "stop"}
    assert tables.usage_rows(sessions, job_id) == [(4, 4)]
    events = stream.read(worker.client, job_id)
    assert events[-1].entry.event == record.end()
    assert worker.held() == []
    assert worker.job_s is not None


def test_run_of_a_job_already_taken_does_nothing(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """The message came twice."""
    job_id = dispatched(sessions, caller)
    run.run(worker, job_id)
    before = stream.read(worker.client, job_id)
    run.run(worker, job_id)
    assert stream.read(worker.client, job_id) == before
    assert tables.column(sessions, job_id, "attempt") == 1


def test_claim_and_end_let_the_next_job_in(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """Room in the window is filled at once, not by the next sweep."""
    job_id = dispatched(sessions, caller)
    waiting = tables.submit(sessions, caller).id
    run.run(worker, job_id)
    threading.Thread(target=worker.refiller.run, args=(worker.gone,), daemon=True).start()
    until(lambda: [job_id for job_id, _ in worker.dispatcher.sender.sent] == [str(waiting)])


def test_checkpoint_follows_the_stream(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """With its heartbeat a worker keeps what has been streamed, and how far the prompt is."""
    job_id = dispatched(sessions, caller)
    thread = in_thread(worker, job_id)
    heartbeat.beat(worker)
    with sessions() as session:
        job, _ = jobs.find(session, caller, job_id)
        assert jobs.so_far(session, job_id).text.startswith("one ")
    assert (job.status, job.progress_done, job.progress_total) == ("running", 4, 4)
    thread.join()


def test_beat_keeps_what_came_since_the_last(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """Only that; but all of it once the attempt has read that its stream went another way than the checkpoint."""
    claim = tables.running(sessions, caller)
    attempt = Attempt(claim)
    whole = attempt.transcript
    whole.add(entries.started())
    for word in ("one ", "two "):
        whole.add(entries.said(word), (1,))
        heartbeat.checkpoint(worker, attempt)
    heartbeat.checkpoint(worker, attempt)
    assert kept_pieces(sessions) == [(1, ["started", "one "]), (3, ["two "])]
    attempt.transcript = Transcript(whole.entries[:2])
    attempt.transcript.add(entries.said("zwei "), (2,))
    heartbeat.checkpoint(worker, attempt)
    assert kept_pieces(sessions) == [(1, ["started", "one ", "zwei "])]


def test_checkpoint_and_end_are_written_one_after_the_other(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """An end drops the checkpoints that it finds: one that was about to be committed would stay for ever."""
    attempt, held = Attempt(tables.running(sessions, caller)), []
    attempt.transcript.add(entries.said("one ", 1))
    for place in (worker.upkeep, worker.sessions):  # of checkpoints, and of ends
        event.listen(place, "before_commit", lambda _: held.append(attempt.writing.locked()))
    heartbeat.checkpoint(worker, attempt)
    attempt.transcript.add(entries.said("two ", 2))

    def ends(_: object) -> None:
        held.append(attempt.writing.locked())
        heartbeat.checkpoint(worker, attempt)

    worker.finish_untold = ends  # type: ignore[assignment]
    assert run.finish(worker, attempt, Outcome(Status.SUCCEEDED))
    assert held == [True, True, True]
    assert kept_pieces(sessions) == []
    heartbeat.checkpoint(worker, attempt)
    assert kept_pieces(sessions) == []


def kept_pieces(sessions: Sessions) -> list[tuple[int, list[str]]]:
    """Each piece of the one checkpoint that there is: its first number, and what it says."""
    with sessions() as session:
        rows = session.execute(text("SELECT first, entries FROM job_checkpoints ORDER BY first"))
        return [(first, [entry.get("text", entry["type"]) for entry in kept]) for first, kept in rows]


def test_cancel_is_heard_at_once_and_by_the_heartbeat(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """At once when Redis carries it, by the heartbeat's answer when it doesn't; nothing more is published."""
    listener = threading.Thread(target=cancellations.listen, args=(worker,))
    for by_redis in (False, True):
        job_id = dispatched(sessions, caller)
        thread = in_thread(worker, job_id)
        if by_redis:
            listener.start()
            until(lambda: worker.client.pubsub_numsub(endings.CANCELS)[0][1])
        _, closings = endings.cancel(sessions, worker.client, caller, job_id, 60)
        assert closings
        if by_redis:
            endings.announce(worker.client, closings, 60)
        else:
            heartbeat.beat(worker)
        thread.join(60)
        assert not thread.is_alive()
        assert tables.column(sessions, job_id, "status") == "cancelled"
        if by_redis:
            assert entries.told(stream.read(worker.client, job_id))[-1] == "cancelled"
    worker.gone.set()
    listener.join()


def test_drained_worker_hands_its_jobs_back_and_claims_none(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """After the grace the job waits again, with all that was streamed, and no crash is counted."""
    job_id, other = dispatched(sessions, caller), dispatched(sessions, caller)
    thread = in_thread(worker, job_id)
    assert isinstance(worker.engine, Echo)
    worker.engine.token_s = 30
    worker.drain()
    thread.join(60)
    assert not thread.is_alive()
    run.run(worker, other)
    assert tables.column(sessions, other, "status") == "dispatched"
    assert tables.column(sessions, job_id, "status") in ("queued", "dispatched")
    assert tables.column(sessions, job_id, "crashes") == 0
    with sessions() as session:
        kept = jobs.so_far(session, job_id)
    assert kept.entries == [event.entry for event in stream.read(worker.client, job_id)]


def test_job_taken_over_is_dropped_without_a_word(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """A worker that comes back to find a newer attempt writes nothing, neither stream nor record nor usage."""
    job_id = dispatched(sessions, caller)
    thread = in_thread(worker, job_id)
    with sessions.begin() as session:
        tables.put(session, job_id, Status.RUNNING, attempt=2, worker_id="w2")
    stream.Writer(worker.client, job_id, 2, 60).open()
    before = stream.read(worker.client, job_id)
    thread.join(60)
    assert not thread.is_alive()
    assert stream.read(worker.client, job_id) == before
    assert tables.usage_rows(sessions, job_id) == []
    assert tables.column(sessions, job_id, "status") == "running"


def test_job_that_postgresql_says_runs_here_and_does_not_is_handed_back(
    sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """A claim whose answer was lost: at the second heartbeat the job waits again, and no crash is counted."""
    job_id = dispatched(sessions, caller)
    kept = tables.submit(sessions, caller, input={"prompt": "word " * 50}).id  # so that it runs until it is slowed down
    tables.dispatch(sessions, kept)
    thread = in_thread(worker, kept)
    assert isinstance(worker.engine, Echo)
    worker.engine.token_s = 30
    tables.claim(sessions, job_id)
    heartbeat.beat(worker)
    assert tables.column(sessions, job_id, "status") == "running"
    heartbeat.beat(worker)
    assert tables.column(sessions, job_id, "status") == "queued"
    assert tables.column(sessions, job_id, "crashes") == 0
    assert tables.column(sessions, kept, "status") == "running"
    worker.stop(kept, Stop.ENDED)
    thread.join()


def test_worker_that_takes_its_own_job_over_keeps_the_newer_attempt(
    sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """The older attempt is over at once, and its end doesn't make the worker forget the newer one."""
    job_id = dispatched(sessions, caller)
    claim = tables.claim(sessions, job_id)
    assert claim is not None
    older, newer = Attempt(claim), Attempt(replace(claim, attempt=2))
    worker.enter(older)
    worker.enter(newer)
    assert older.stopped is Stop.ENDED
    worker.leave(older, 0.1)
    assert worker.held() == [newer]
    worker.leave(newer, 0.1)
    assert worker.held() == []


def test_draining_worker_offers_no_slots(sessions: Sessions, worker: Worker) -> None:
    """Nobody fills a window for a worker that takes nothing more."""
    worker.draining.set()
    heartbeat.beat(worker)
    with sessions() as session:
        strength = workers.strength(session, "alpha", tables.LEASE_S)
    assert (strength.slots, strength.free) == (0, 0)


def test_cut_off_worker_claims_nothing(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """A worker that can't tell whether its lease holds leaves jobs to others."""
    worker.renew(time.monotonic() - tables.LEASE_S - 1)
    job_id = dispatched(sessions, caller)
    run.run(worker, job_id)
    assert tables.column(sessions, job_id, "status") == "dispatched"


def test_checkpoint_does_not_wait_for_who_holds_the_row(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """Somebody is ending the job and takes long: the heartbeat goes on without this checkpoint."""
    job_id = dispatched(sessions, caller)
    thread = in_thread(worker, job_id)
    with sessions.begin() as session:
        session.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": job_id})
        heartbeat.beat(worker)
        assert worker.held()[0].unkept()[1] == 0
    heartbeat.beat(worker)
    thread.join()


def test_heartbeat_goes_on_while_somebody_holds_the_jobs(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """A long lock on the table of jobs is nobody's death: the lease is renewed without it."""
    job_id = dispatched(sessions, caller)
    thread = in_thread(worker, job_id)
    tables.silence(sessions, worker.id, 10 * tables.LEASE_S)
    with sessions.begin() as session:
        session.execute(text("LOCK TABLE jobs"))
        heartbeat.beat(worker)
        with sessions() as other:
            assert workers.strength(other, worker.queue, tables.LEASE_S).workers == 1
    assert not worker.cut_off
    thread.join()


def test_worker_that_was_cut_off_stays_silent_until_it_knows_what_is_its_own(
    sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """Others may have its jobs: while the table of jobs is held it can't tell, and publishes nothing."""
    worker.enter(Attempt(tables.claim(sessions, dispatched(sessions, caller), worker_id=worker.id)))
    worker.renew(time.monotonic() - tables.LEASE_S - 1)
    with sessions.begin() as session:
        session.execute(text("LOCK TABLE jobs"))
        with pytest.raises(OperationalError):
            heartbeat.beat(worker)
        assert worker.cut_off
    heartbeat.beat(worker)
    assert not worker.cut_off


def test_slip_in_a_thread_does_not_end_it(worker: Worker) -> None:
    """Whatever goes wrong in one round, the next comes."""
    rounds: list[int] = []

    def act() -> None:
        rounds.append(1)
        if len(rounds) == 2:
            worker.gone.set()
        raise ZeroDivisionError("a slip")

    threads.every(worker, 0.001, act)
    assert len(rounds) == 2


def test_cut_off_worker_falls_silent_until_its_heartbeat_is_through(worker: Worker) -> None:
    """The lease is the worker's own knowledge too."""
    assert not worker.cut_off
    worker.renew(time.monotonic() - tables.LEASE_S - 1)
    assert worker.cut_off
    heartbeat.beat(worker)
    assert not worker.cut_off


def test_ended_job_overrides_a_drain(sessions: Sessions, caller: Caller) -> None:
    """A job that somebody else has ended isn't handed back."""
    claim = tables.claim(sessions, dispatched(sessions, caller))
    assert claim is not None
    attempt = Attempt(claim)
    attempt.stop(Stop.DRAIN)
    attempt.stop(Stop.ENDED)
    attempt.stop(Stop.DRAIN)
    assert attempt.stopped is Stop.ENDED


def test_stream_that_could_not_be_taken_over_has_one_history(
    sessions: Sessions, caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis couldn't be read at the claim, but had more than the checkpoint: what it had gives way, whole."""
    job_id = dispatched(sessions, caller)
    claim = tables.claim(sessions, job_id)
    assert claim is not None
    older = Transcript()
    older.add(entries.started())
    for word in ("one ", "two ", "three "):
        older.add(entries.said(word))
    stream.Writer(worker.client, job_id, 1, 60).open(older.entries)
    with sessions.begin() as session:
        attempts.checkpoint(session, job_id, 1, older.entries[:2], (4, 4))
        tables.put(session, job_id, Status.DISPATCHED)

    def unreadable(*_: object) -> Transcript:
        raise redis.ConnectionError("no")

    worker.patience = Patience(pause_s=0)
    monkeypatch.setattr(stream, "take_over", unreadable)
    run.run(worker, job_id)
    events = stream.read(worker.client, job_id)
    assert {event.attempt for event in events} == {2}
    assert [event.entry.seq for event in events] == list(range(1, len(events) + 1))
    assert transcript.fold(event.entry for event in events).text == "one two three four"


def test_every_line_of_a_run_names_its_job_and_the_next_one_does_not(
    sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """As clients know it, whoever writes the line, and with the attempt from the claim on."""
    job_id = dispatched(sessions, caller)
    seen: list[dict[str, object]] = []

    class Noting(Echo):
        def prompt(self, text: str) -> Prompt:
            seen.append(structlog.contextvars.get_contextvars())
            return super().prompt(text)

    worker.engine = Noting("alpha", slots=1, context=64)
    run.run(worker, job_id)
    assert seen == [{"job_id": ids.show(job_id), "queue": "alpha", "attempt": 1}]
    assert structlog.contextvars.get_contextvars() == {}
