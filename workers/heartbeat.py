"""What a worker does beside its slots: heart, sweep, ear for cancellations, and the control worker's courier."""

import os
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import redis
import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from db import workers
from tasks.jobs import attempts, endings, fence
from workers.attempt import Attempt, Stop
from workers.webhooks.courier import Courier
from workers.worker import Worker

log = structlog.get_logger(__name__)

_LISTEN_S = 1.0
_THREAD_ENDED = 70  # the status with which the process ends: EX_SOFTWARE of sysexits.h


def start(worker: Worker) -> list[threading.Thread]:
    """Starts the threads; they end once `worker.gone` is set."""
    loops: dict[str, Callable[[], None]] = {
        "heart": lambda: _every(worker, worker.settings.heartbeat_s, lambda: beat(worker)),
        "sweep": lambda: _every(worker, worker.settings.sweep_s, worker.sweeper.sweep),
        "refiller": lambda: worker.refiller.run(worker.gone),
        "ear": lambda: _every(worker, _LISTEN_S, lambda: listen(worker)),
    }
    if worker.settings.webhooks:
        courier = Courier(worker.sessions, worker.settings.webhooks)
        loops["courier"] = lambda: deliver(worker, courier)
    threads = [
        threading.Thread(target=_vital, args=(worker, loop), name=name, daemon=True) for name, loop in loops.items()
    ]
    for thread in threads:
        thread.start()
    return threads


def beat(worker: Worker) -> None:
    """Renews the lease, learns which attempts are over, and checkpoints the others. Raises SQLAlchemy's errors.

    The lease is renewed by itself: whoever holds the table of jobs must not make this worker look dead.
    """
    began_at = time.monotonic()
    worker.silent = worker.silent or worker.cut_off
    held = worker.held()
    slots = 0 if worker.draining.is_set() else worker.slots
    free = max(0, slots - len(held))
    with worker.sessions.begin() as session:
        if not workers.beat(session, worker_id=worker.id, slots=slots, free=free, job_s=worker.job_s):
            workers.register(session, worker_id=worker.id, model=worker.model, slots=slots)
    over = review(worker, {attempt.claim.job_id: attempt.claim.attempt for attempt in held})
    worker.renew(began_at)
    if over is None:
        return
    for attempt in held:
        if attempt.claim.job_id in over:
            attempt.stop(Stop.ENDED)
        else:
            checkpoint(worker, attempt)


def review(worker: Worker, numbers: dict[uuid.UUID, int]) -> set[uuid.UUID] | None:
    """Which of the jobs are no longer this worker's; None when the jobs are locked, which can't be waited for.

    A worker that was cut off must know before it publishes again: for it that is an error.
    """
    try:
        with worker.sessions.begin() as session:
            session.execute(text("SET LOCAL lock_timeout = '200ms'"))
            over = fence.lost_attempts(session, numbers) if numbers else set()
            release_unheld(session, worker, numbers)
            if worker.silent and (jobs_taken := attempts.forgive(session, worker.id)):
                log.warning("was_silent", jobs_taken=jobs_taken)
    except OperationalError as error:
        if worker.cut_off:
            raise
        log.warning("not_reviewed", error=str(error))
        return None
    worker.silent = False
    return over


def release_unheld(session: Session, worker: Worker, numbers: dict[uuid.UUID, int]) -> None:
    """Hands back what PostgreSQL says runs here and doesn't: a claim whose answer was lost, a run that broke off.

    Only what is missing at two beats in a row: between a claim's commit and its run lies a moment.
    """
    unheld = fence.unheld(session, worker.id, numbers)
    for job_id, attempt in unheld & worker.unheld:
        log.warning("released", job_id=str(job_id), attempt=attempt)
        attempts.release_unheld(session, job_id, attempt)
    worker.unheld = unheld


def checkpoint(worker: Worker, attempt: Attempt) -> None:
    """Keeps what the attempt has streamed since the last checkpoint, in a transaction of its own.

    Doesn't wait for whoever is ending the job: the heart must beat on.
    """
    if attempt.checkpointed == len(attempt.transcript.entries):
        return
    so_far, claim = attempt.transcript.snapshot(), attempt.claim
    cleared = attempt.proven and claim.crashes > 0
    try:
        with worker.sessions.begin() as session:
            session.execute(text("SET LOCAL lock_timeout = '200ms'"))
            attempts.checkpoint(session, claim.job_id, claim.attempt, so_far, attempt.progress, cleared=cleared)
    except OperationalError as error:
        log.warning("not_checkpointed", job_id=str(claim.job_id), error=str(error))
        return
    attempt.checkpointed = len(so_far.entries)


def listen(worker: Worker) -> None:
    """Stops runs whose jobs somebody else has ended, as they are told. What is missed the heart hears of."""
    pubsub: Any = worker.client.pubsub
    with pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(endings.CANCELS)
        while not worker.gone.is_set():
            message = channel.get_message(timeout=_LISTEN_S)
            if message:
                worker.stop(uuid.UUID(hex=message["data"].decode()), Stop.ENDED)


def deliver(worker: Worker, courier: Courier) -> None:
    """Sends what is due until the worker drains, and lets what is under way come to its end."""
    while not worker.draining.is_set():
        if not _guarded(courier.round):
            worker.draining.wait(_LISTEN_S)
    courier.finish(worker.settings.grace_s)


def _vital(worker: Worker, loop: Callable[[], None]) -> None:
    """A worker without one of its threads lives on without a sign that it can't do its work: it ends instead."""
    try:
        loop()
    except BaseException:  # the thread's boundary, the last one
        log.exception("thread_ended", thread=threading.current_thread().name)
    if not (worker.gone.is_set() or worker.draining.is_set()):
        log.error("worker_ends", reason=f"its {threading.current_thread().name} has ended")
        os._exit(_THREAD_ENDED)


def _every(worker: Worker, seconds: float, act: Callable[[], None]) -> None:
    while not worker.gone.is_set():
        _guarded(act)
        worker.gone.wait(seconds)


def _guarded(act: Callable[[], None]) -> bool:
    """Whether it went well; what went wrong is logged."""
    try:
        act()
    except (SQLAlchemyError, redis.RedisError, OSError) as error:
        log.warning("interrupted", thread=threading.current_thread().name, error=str(error))
    except Exception:  # the thread's boundary: a heart must not stop for a slip
        log.exception("interrupted", thread=threading.current_thread().name)
    else:
        return True
    return False
