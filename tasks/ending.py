"""Ending somebody else's job: cancel, poison, expiry, deadline: whatever doesn't come from the attempt that runs.

Whoever ends a job takes the next attempt number and writes the end under it: the running attempt is shut out of
PostgreSQL by the number and out of the stream by its opening.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import redis
import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db import attempts
from db import jobs as jobs_table
from db.jobs import Job, JobOutput
from tasks import errors, ids, jobs, lifecycle, timing
from tasks.jobs import Outcome
from tasks.keys import Caller
from tasks.lifecycle import Status
from tasks.record import Record
from tasks.streams import stream
from tasks.streams.transcript import Entry, Transcript

log = structlog.get_logger(__name__)

CANCELS = "forebay:cancels"


@dataclass(frozen=True, slots=True)
class Closing:
    """An end that the transaction holds and that, once it is committed, `announce` tells those who listen."""

    record: Record
    entries: int


def cancel(
    session: Session, client: redis.Redis, caller: Caller, job_id: uuid.UUID, ttl_s: int
) -> tuple[Record, Closing | None]:
    """Ends the tenant's job unless it has ended. Idempotent. After the commit: `announce`, then a refill.

    Raises `NotFound`.
    """
    jobs.find(session, caller, job_id)
    closing = close(session, client, job_id, Status.CANCELLED, None, ttl_s)
    session.expire_all()
    return (closing.record if closing else jobs.get(session, caller, job_id)), closing


def close(
    session: Session,
    client: redis.Redis | None,
    job_id: uuid.UUID,
    status: Status,
    error: tuple[str, str] | None,
    ttl_s: int,
) -> Closing | None:
    """Ends a job under the next attempt number, with the usage of what had been streamed. None when it had ended.

    A Redis that can't be reached (None: it isn't tried) costs the words since the last checkpoint, never the end.
    """
    code, message = error or (None, None)
    values = {"finished_at": func.clock_timestamp(), "error_code": code, "error_message": message}
    ended = lifecycle.move(session, status, Job.id == job_id, attempt=Job.attempt + 1, **values)
    if not ended:
        return None
    job = ended[0]
    attempts.end_open(session, job.id, job.attempt - 1, status, code)
    streamed = salvage(client, job, jobs.stored_transcript(session.get(JobOutput, job.id)), ttl_s)
    # An ingest counts its tokens in its row, as they are spent for good; who streams counts in the stream.
    prompt_tokens = streamed.prompt_tokens if job.prompt_tokens is None else job.prompt_tokens
    job.prompt_tokens, job.completion_tokens = prompt_tokens, streamed.completion_tokens
    outcome = Outcome(status, prompt_tokens, streamed.completion_tokens, error=error)
    return Closing(jobs.settle(session, job, streamed, outcome), len(streamed.entries))


def expire(session: Session, limit: int) -> list[Closing]:
    """Ends jobs that haven't started in time, at most `limit`. After the commit: `announce`."""
    late = select(Job.id).where(timing.is_late()).order_by(Job.expires_at).limit(limit)
    found = session.scalars(late.with_for_update(skip_locked=True)).all()
    return each(session, found, lambda job_id: _expire(session, job_id))


def stop_overdue(session: Session, client: redis.Redis, limit: int, ttl_s: int) -> list[Closing]:
    """Fails jobs that have been running for longer than they may, at most `limit`. After the commit: `announce`."""
    overdue = select(Job.id, Job.deadline_s).where(timing.is_overdue()).order_by(Job.started_at).limit(limit)
    rows = session.execute(overdue.with_for_update(skip_locked=True, key_share=True)).all()
    found = {row.id: row.deadline_s for row in rows}
    reachable = client if found and _answers(client) else None

    def stop(job_id: uuid.UUID) -> Closing | None:
        error = (errors.DeadlineExceeded.code, f"it had {found[job_id]} s from its first start to its end")
        return close(session, reachable, job_id, Status.FAILED, error, ttl_s)

    return each(session, found, stop)


def end_waiting(session: Session, client: redis.Redis, model: str, limit: int, ttl_s: int) -> list[Closing]:
    """Fails jobs that wait for a model nobody serves any more, at most `limit`. After the commit: `announce`.

    Those that run, and those that somebody else holds right now, are left alone.
    """
    waiting = select(Job.id).where(jobs_table.waits_for(model)).limit(limit)
    found = session.scalars(waiting.with_for_update(skip_locked=True)).all()
    reachable = client if found and _answers(client) else None
    error = (errors.ModelRemoved.code, f"the model {model} isn't served any more, and what waited for it was ended")
    return each(session, found, lambda job_id: close(session, reachable, job_id, Status.FAILED, error, ttl_s))


def each(session: Session, job_ids: Iterable[uuid.UUID], end: Callable[[uuid.UUID], Closing | None]) -> list[Closing]:
    """Ends the jobs one by one, so that a lock which one of them can't have in time keeps no other from its end."""
    closings = []
    for job_id in job_ids:
        try:
            with session.begin_nested():
                closings.append(end(job_id))
        except OperationalError as error:
            if error.connection_invalidated:
                raise
            log.warning("not_ended", job_id=ids.show(job_id), error=str(error))
    return [closing for closing in closings if closing]


def announce(client: redis.Redis, closing: Closing, ttl_s: int) -> bool:
    """Writes the stream's last event and stops the worker that may be running the job. Best effort, idempotent.

    False says that Redis couldn't be reached.
    """
    ended = closing.record
    last = Entry(closing.entries + 1, ended.status, ended.as_json())
    writer = stream.Writer(client, ended.id, ended.attempt, ttl_s, last=f"{ended.attempt}-0")
    try:
        if closing.entries:
            writer.append([last])
        else:
            writer.open([last])  # of a job that never started there is no stream yet
        client.publish(CANCELS, ended.id.hex)
    except redis.RedisError as error:
        log.warning("end_not_announced", job_id=ids.show(ended.id), error=str(error))
        return False
    return True


def salvage(client: redis.Redis | None, job: Job, checkpoint: Transcript, ttl_s: int) -> Transcript:
    """All that was streamed so far; the checkpoint when Redis can't be reached."""
    if client is None:
        return checkpoint
    try:
        return stream.take_over(stream.Writer(client, job.id, job.attempt, ttl_s), checkpoint)
    except redis.RedisError as error:
        log.warning("stream_unreachable", job_id=ids.show(job.id), error=str(error))
        return checkpoint


def _expire(session: Session, job_id: uuid.UUID) -> Closing | None:
    values = {"attempt": Job.attempt + 1, "finished_at": func.clock_timestamp()}
    ended = lifecycle.move(session, Status.EXPIRED, Job.id == job_id, timing.is_late(), **values)
    if not ended:
        return None
    return Closing(jobs.settle(session, ended[0], Transcript(), Outcome(Status.EXPIRED, 0, 0)), 0)


def _answers(client: redis.Redis) -> bool:
    """Whether Redis can be reached: asked once for many jobs, of which each would wait for its own time-out."""
    try:
        client.ping()
    except redis.RedisError as error:
        log.warning("redis_unreachable", error=str(error))
        return False
    return True
