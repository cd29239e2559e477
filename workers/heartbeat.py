"""A worker's heartbeat: it renews the lease, learns which attempts are over, and checkpoints the others."""

import time
import uuid
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.session import told
from tasks import ids
from tasks.jobs import attempts, fence
from tasks.queues import capacity
from workers.attempt import Attempt, Stop
from workers.worker import Worker

log = structlog.get_logger(__name__)


Runs = set[tuple[uuid.UUID, int]]  # jobs, and the numbers of their attempts


def beat(worker: Worker) -> None:
    """Renews the lease, learns which attempts are over, and checkpoints the others. Raises SQLAlchemy's errors."""
    began_at = time.monotonic()
    worker.silent = worker.silent or worker.cut_off
    held = worker.held()
    with worker.heart.asking():
        known = renew(worker, len(held))
        over = None if known is None else review(worker, {run.claim.job_id: run.claim.attempt for run in held}, known)
    worker.renew(began_at)
    if over is None:
        return
    for attempt in held:
        if attempt.claim.job_id in over:
            attempt.stop(Stop.ENDED)
        else:
            checkpoint(worker, attempt)


def renew(worker: Worker, running: int) -> Runs | None:
    """Renews the lease. Returns what runs here by PostgreSQL's account; None when the table of jobs is locked.

    Whoever holds that must not make this worker look dead: then the lease is renewed by itself. A worker that was cut
    off must know before it publishes again: for it that is an error.
    """
    slots = 0 if worker.draining.is_set() else worker.slots
    values: dict[str, Any] = {
        "worker_id": worker.id,
        "slots": slots,
        "free": max(0, slots - running),
        "job_s": worker.job_s,
    }
    try:
        with worker.upkeep.begin() as session:
            known = capacity.beat_and_look(session, **values)
            if known is None or worker.silent:  # what was noted meanwhile of its model may not be its own
                capacity.register(
                    session, worker_id=worker.id, queue=worker.queue, slots=slots, identity=worker.identity
                )
            return known or set()
    except OperationalError as error:
        if error.connection_invalidated:
            raise
        log.warning("not_reviewed", error=told(error))
        with worker.upkeep.begin() as session:
            capacity.beat(session, **values)
        if worker.cut_off:
            raise
        return None


def review(worker: Worker, numbers: dict[uuid.UUID, int], known: Runs) -> set[uuid.UUID] | None:
    """Which of the jobs are no longer this worker's; None when they are locked, which can't be waited for."""
    unheld = {(job_id, attempt) for job_id, attempt in known if numbers.get(job_id) != attempt}
    try:
        with worker.upkeep.begin() as session:
            release_unheld(session, worker, unheld)
            over = fence.lost_attempts(session, numbers) if numbers else set()
            if worker.silent and (jobs_taken := attempts.forgive(session, worker.id)):
                log.warning("was_silent", jobs_taken=jobs_taken)
    except OperationalError as error:
        if worker.cut_off:
            raise
        log.warning("not_reviewed", error=told(error))
        return None
    worker.silent = False
    return over


def release_unheld(session: Session, worker: Worker, unheld: Runs) -> None:
    """Hands back what PostgreSQL says runs here and doesn't: a claim whose answer was lost, a run that broke off.

    Only what is missing at two beats in a row: between a claim's commit and its run lies a moment.
    """
    for job_id, attempt in unheld & worker.unheld:
        log.warning("unheld_released", job_id=ids.show(job_id), attempt=attempt)
        attempts.release_unheld(session, job_id, attempt)
    worker.unheld = unheld


def checkpoint(worker: Worker, attempt: Attempt) -> None:
    """Keeps what the attempt has streamed since the last checkpoint, in a transaction of its own.

    Doesn't wait for whoever is ending the job: the next heartbeat must not be late.
    """
    if not attempt.writing.acquire(blocking=False):
        return
    try:
        _keep(worker, attempt)
    except OperationalError as error:
        log.warning("not_checkpointed", job_id=ids.show(attempt.claim.job_id), error=told(error))
    finally:
        attempt.writing.release()


def _keep(worker: Worker, attempt: Attempt) -> None:
    transcript, kept = attempt.unkept()
    news, claim = transcript.entries[kept:], attempt.claim
    if not news:
        return
    cleared = attempt.proven and claim.crashes > 0
    with worker.heart.asking(), worker.upkeep.begin() as session:
        session.execute(text("SET LOCAL lock_timeout = '200ms'"))
        attempts.checkpoint(
            session,
            claim.job_id,
            claim.attempt,
            news,
            attempt.progress,
            cleared=cleared,
            first_token_s=attempt.first_token_s,
        )
    attempt.keep(transcript, kept + len(news))
