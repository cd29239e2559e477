"""Ending somebody else's job: cancel, poison, and whatever else doesn't come from the attempt that runs.

Whoever ends a job takes the next attempt number and writes the end under it: the running attempt is shut out of
PostgreSQL by the number and out of the stream by its opening.
"""

import uuid
from dataclasses import dataclass

import redis
import structlog
from sqlalchemy import func
from sqlalchemy.orm import Session

from db.jobs import Job, JobOutput
from tasks import ids, jobs, lifecycle, stream
from tasks.jobs import Outcome
from tasks.keys import Caller
from tasks.lifecycle import Status
from tasks.record import Record
from tasks.transcript import Entry, Transcript

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
    client: redis.Redis,
    job_id: uuid.UUID,
    status: Status,
    error: tuple[str, str] | None,
    ttl_s: int,
) -> Closing | None:
    """Ends a job under the next attempt number, with the usage of what had been streamed. None when it had ended.

    A Redis that can't be reached costs the words since the last checkpoint, never the end.
    """
    code, message = error or (None, None)
    values = {"finished_at": func.clock_timestamp(), "error_code": code, "error_message": message}
    ended = lifecycle.move(session, status, Job.id == job_id, attempt=Job.attempt + 1, **values)
    if not ended:
        return None
    job = ended[0]
    streamed = salvage(client, job, jobs.stored_transcript(session.get(JobOutput, job.id)), ttl_s)
    # An ingest counts its tokens in its row, as they are spent for good; who streams counts in the stream.
    prompt_tokens = streamed.prompt_tokens if job.prompt_tokens is None else job.prompt_tokens
    job.prompt_tokens, job.completion_tokens = prompt_tokens, streamed.completion_tokens
    outcome = Outcome(status, prompt_tokens, streamed.completion_tokens, error=error)
    return Closing(jobs.settle(session, job, streamed, outcome), len(streamed.entries))


def announce(client: redis.Redis, closing: Closing, ttl_s: int) -> None:
    """Writes the stream's last event and stops the worker that may be running the job. Best effort, idempotent."""
    ended = closing.record
    last = Entry(closing.entries + 1, ended.status, ended.as_json())
    writer = stream.Writer(client, ended.id, ended.attempt, ttl_s, last=f"{ended.attempt}-0")
    try:
        writer.append([last])
        client.publish(CANCELS, ended.id.hex)
    except redis.RedisError as error:
        log.warning("end_not_announced", job_id=ids.show(ended.id), error=str(error))


def salvage(client: redis.Redis, job: Job, checkpoint: Transcript, ttl_s: int) -> Transcript:
    """All that was streamed so far; the checkpoint when Redis can't be reached."""
    try:
        return stream.take_over(stream.Writer(client, job.id, job.attempt, ttl_s), checkpoint)
    except redis.RedisError as error:
        log.warning("stream_unreachable", job_id=ids.show(job.id), error=str(error))
        return checkpoint
