"""Ending somebody else's job: cancel, poison, expiry, deadline: whatever doesn't come from the attempt that runs.

Whoever ends a job takes the next attempt number and writes the end under it: the running attempt is shut out of
PostgreSQL by the number and out of the stream by its opening.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import redis
import structlog
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db import attempts, ledger, turns, webhooks
from db import jobs as jobs_table
from db.jobs import Job, JobOutput
from tasks import errors, ids, telemetry
from tasks.jobs import jobs, lifecycle, settlement, view
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.streams import stream
from tasks.streams.transcript import Entry, Transcript
from tasks.webhooks import deliveries

log = structlog.get_logger(__name__)

CANCELS = "forebay:cancels"
_MESSAGES_AT_ONCE = 1000  # of a tenant's, of 20 kB each, to all its webhooks together
Ended = TypeVar("Ended")


@dataclass(frozen=True, slots=True)
class Closing:
    """An end that the transaction holds and that, once it is committed, `announce` tells those who listen."""

    view: JobView
    entries: int


def cancel(
    session: Session, client: redis.Redis, caller: Caller, job_id: uuid.UUID, ttl_s: int
) -> tuple[JobView, Closing | None]:
    """Ends the tenant's job unless it has ended. Idempotent. After the commit: `announce`, then a refill.

    Raises `NotFound`.
    """
    jobs.find(session, caller, job_id)
    unstarted = end_unstarted(session, Status.CANCELLED, caller.tenant_id, Job.id == job_id)
    closing = unstarted[0] if unstarted else close(session, client, job_id, Status.CANCELLED, None, ttl_s)
    session.expire_all()
    return (closing.view if closing else jobs.get(session, caller, job_id)), closing


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
    spent = view.spent(job) + streamed.spent
    job.prompt_tokens, job.completion_tokens = spent.prompt, spent.completion
    session.flush()
    outcome = Outcome(status, spent, error=error)
    return Closing(settlement.conclude(session, job, streamed, outcome), len(streamed.entries))


def end_unstarted(session: Session, status: Status, tenant_id: uuid.UUID, *which: ColumnElement[bool]) -> list[Closing]:
    """Ends those of a tenant's jobs that match and have never started, however many, in a few statements.

    Nothing was streamed or spent, so Redis isn't asked. After the commit: `announce`.
    """
    own = (Job.tenant_id == tenant_id, Job.started_at.is_(None))
    values = {"finished_at": func.clock_timestamp(), "prompt_tokens": 0, "completion_tokens": 0}
    ended = lifecycle.move(session, status, *own, *which, attempt=Job.attempt + 1, **values)
    if not ended:
        return []
    job_ids = [job.id for job in ended]
    jobs_table.save_no_output(session, job_ids)
    ledger.enter(session, job_ids)
    records = [view.of(job, None) for job in ended]
    deliveries.note_ends(session, tenant_id, f"job.{status}", zip(ended, records, strict=True))
    session.flush()
    return [Closing(told, 0) for told in records]


def expire(session: Session, limit: int) -> list[Closing]:
    """Ends jobs that haven't started in time, at most `limit`, in turns between tenants. After the commit: `announce`.

    What one tenant's can't have in time keeps no other's from their end. Of a tenant with many webhooks fewer end.
    """
    late = turns.each_in_turn(jobs_table.EXPIRES, jobs_table.is_late(), Job.expires_at.asc(), limit)
    found = select(Job.tenant_id, Job.id).where(Job.id.in_(late)).with_for_update(skip_locked=True)
    by_tenant: defaultdict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    for tenant_id, job_id in session.execute(found):
        by_tenant[tenant_id].append(job_id)

    def end(tenant_id: uuid.UUID) -> list[Closing]:
        targets = len(webhooks.listening(session, tenant_id, f"job.{Status.EXPIRED}")) + 1
        some = by_tenant[tenant_id][: _MESSAGES_AT_ONCE // targets]
        which = (Job.id.in_(some), jobs_table.is_late())
        return end_unstarted(session, Status.EXPIRED, tenant_id, *which)

    return [closing for closings in each(session, by_tenant, end) for closing in closings]


def stop_overdue(session: Session, client: redis.Redis, limit: int, ttl_s: int) -> list[Closing]:
    """Fails jobs that have been running for longer than they may, at most `limit`, in turns between tenants.

    After the commit: `announce`.
    """
    overdue = turns.each_in_turn(jobs_table.HAS_DEADLINE, jobs_table.is_overdue(), Job.started_at.asc(), limit)
    found_now = select(Job.id, Job.deadline_s).where(Job.id.in_(overdue))
    rows = session.execute(found_now.with_for_update(skip_locked=True, key_share=True)).all()
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


def each(session: Session, whose: Iterable[uuid.UUID], end: Callable[[uuid.UUID], Ended | None]) -> list[Ended]:
    """Ends job by job, or tenant by tenant, so that a lock that one can't have in time keeps no other from its end."""
    ended = []
    for id in whose:
        try:
            with session.begin_nested():
                ended.append(end(id))
        except OperationalError as error:
            if error.connection_invalidated:
                raise
            log.warning("not_ended", of=str(id), error=str(error))
    return [one for one in ended if one]


def announce(client: redis.Redis, closing: Closing, ttl_s: int) -> bool:
    """Writes the stream's last event and stops the worker that may be running the job. Best effort, idempotent.

    False says that Redis couldn't be reached.
    """
    ended = closing.view
    telemetry.emit(ended.ended_fact())
    last = Entry(closing.entries + 1, ended.end())
    writer = stream.Writer(client, ended.id, ended.attempt, ttl_s, last=f"{ended.attempt}-0")
    try:
        if closing.entries:
            writer.append([last])
        else:
            writer.open([last])  # of a job that never started there is no stream yet
        if ended.started_at:
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


def _answers(client: redis.Redis) -> bool:
    """Whether Redis can be reached: asked once for many jobs, of which each would wait for its own time-out."""
    try:
        client.ping()
    except redis.RedisError as error:
        log.warning("redis_unreachable", error=str(error))
        return False
    return True
