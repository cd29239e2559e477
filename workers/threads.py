"""What a worker does beside its slots: its heart, its sweep, and its ear for cancellations."""

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from db import workers
from tasks import ending, jobs
from workers.attempt import Stop
from workers.worker import Worker

log = structlog.get_logger(__name__)

_LISTEN_S = 1.0


def start(worker: Worker) -> list[threading.Thread]:
    """Starts the threads; they end once `worker.gone` is set."""
    loops: dict[str, Callable[[], None]] = {
        "heart": lambda: _every(worker, worker.settings.heartbeat_s, lambda: beat(worker)),
        "sweep": lambda: _every(worker, worker.settings.sweep_s, worker.sweeper.sweep),
        "refiller": lambda: worker.refiller.run(worker.gone),
        "ear": lambda: _every(worker, _LISTEN_S, lambda: listen(worker)),
    }
    threads = [threading.Thread(target=loop, name=name, daemon=True) for name, loop in loops.items()]
    for thread in threads:
        thread.start()
    return threads


def beat(worker: Worker) -> None:
    """Renews the lease, learns which attempts are over, and checkpoints the others. Raises SQLAlchemy's errors."""
    began_at = time.monotonic()
    held = worker.held()
    attempts = {attempt.claim.job_id: attempt.claim.attempt for attempt in held}
    with worker.sessions.begin() as session:
        if not workers.beat(session, worker_id=worker.id, free=worker.slots - len(held), job_s=worker.job_s):
            workers.register(session, worker_id=worker.id, model=worker.model, slots=worker.slots)
        over = jobs.lost_attempts(session, attempts) if attempts else set()
    worker.renew(began_at)
    for job_id in over:
        worker.stop(job_id, Stop.ENDED)
    for attempt in held:
        if attempt.claim.job_id not in over:
            checkpoint(worker, attempt.claim.job_id)


def checkpoint(worker: Worker, job_id: uuid.UUID) -> None:
    """Keeps what the attempt has streamed since the last checkpoint, in a transaction of its own."""
    attempt = worker.attempts.get(job_id)
    if attempt is None or attempt.checkpointed == len(attempt.transcript.entries):
        return
    so_far = attempt.transcript.snapshot()
    with worker.sessions.begin() as session:
        jobs.checkpoint(session, job_id, attempt.claim.attempt, so_far, attempt.progress)
    attempt.checkpointed = len(so_far.entries)


def listen(worker: Worker) -> None:
    """Stops runs whose jobs somebody else has ended, as they are told. What is missed the heart hears of."""
    pubsub: Any = worker.client.pubsub
    with pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(ending.CANCELS)
        while not worker.gone.is_set():
            message = channel.get_message(timeout=_LISTEN_S)
            if message:
                worker.stop(uuid.UUID(hex=message["data"].decode()), Stop.ENDED)


def _every(worker: Worker, seconds: float, act: Callable[[], None]) -> None:
    while not worker.gone.is_set():
        try:
            act()
        except (SQLAlchemyError, redis.RedisError, OSError) as error:
            log.warning("interrupted", thread=threading.current_thread().name, error=str(error))
        worker.gone.wait(seconds)
