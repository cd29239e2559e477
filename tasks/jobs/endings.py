"""Ending a job from outside, not by the attempt that runs: cancel, poison, expiry, deadline, a removed model.

A job that never started has streamed and spent nothing: any number of them end in a few statements, without Redis.

One that has started may be streaming at this moment, and what its clients were shown is kept and charged. Redis is
asked for that, which may take long, and so never while a transaction holds the job's row. Three steps:

1. In one transaction the job is found, with the number n of its newest attempt: it is `Doomed`.
2. Redis: the stream is opened under n + 1 and read. From then on Redis refuses whatever attempt n writes, so nothing
   was shown to a client that wasn't read here.
3. In another transaction the job ends under n + 1, unless n isn't the newest attempt any more, or the job has ended.

Between the steps the job goes its way, and whatever becomes of it is harmless:

* It has ended by itself: step 3 finds that and does nothing. That end stands, with all its words, since an attempt
  writes them from memory. If Redis refused the event that tells it, readers have it from PostgreSQL a little later.
* Attempt n was refused by Redis and gave up: step 3 ends the job. Should this process have died before, its worker
  finds that it doesn't hold the job, and puts it back into its queue; nothing that was streamed is lost.
* Attempt n + 1 has begun: then step 2 didn't shut it out, since it has the same number, and step 3 does nothing. A
  cancel looks again, and so does the sweep in its next round.
* Its worker, silent for a lease, beats again: a job that was to end for that doesn't (`still`). Its attempt was refused
  by Redis and gives up, and the job goes back into its queue.
* Redis can't be reached: that costs the words since the last checkpoint, never the end.

The end takes the next attempt number: so the attempt that runs is shut out of PostgreSQL too.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import redis
import structlog
from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from db import attempts, families, once, turns
from db import jobs as jobs_table
from db.jobs import Job
from db.session import Transactions, told
from db.webhooks import endpoints
from tasks import errors, ids, telemetry
from tasks.jobs import family, fence, jobs, lifecycle, responses, settlement, view
from tasks.jobs.lifecycle import Status
from tasks.jobs.settlement import Closing, End
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.limits.spent import NOTHING
from tasks.streams import stream
from tasks.streams.events import Resumed
from tasks.streams.transcript import Entry, Transcript

log = structlog.get_logger(__name__)

CANCELS = "forebay:cancels"
CHILDREN_AT_ONCE = 500
_MESSAGES_AT_ONCE = 1000  # of a tenant's, of 20 kB each, to all its webhooks together
Error = tuple[str, str]  # code, message
Ended = TypeVar("Ended")


@dataclass(frozen=True, slots=True)
class Doomed:
    """A job that has started and is to be ended, as it was when that was found.

    `attempt` was its newest, and `checkpoint` what PostgreSQL had of its stream. `how` is what that attempt's row says
    of its end, unless it says something already; without it, the job's status. With `still` the job ends only if that
    holds when it ends too.
    """

    job_id: uuid.UUID
    attempt: int
    checkpoint: Transcript
    status: Status
    error: Error | None = None
    how: str | None = None
    still: ColumnElement[bool] | None = None
    begun_at_s: float = 0.0  # its first start, as Unix time
    numbered: bool = False  # its readers know numbers alone, so what they must be told of a loss is an entry


def cancel(
    scope: Transactions, client: redis.Redis, caller: Caller, job_id: uuid.UUID, ttl_s: int
) -> tuple[JobView, list[Closing]]:
    """Ends the tenant's job unless it has ended: the job as it is then, and what to `follow_up`, then refill its queue.

    Idempotent. Raises `NotFound`.
    """
    while True:  # each time, another attempt would have to begin within milliseconds
        with scope.begin() as session:
            job, output = jobs.find(session, caller, job_id)
            if job.finished_at is not None:
                return view.with_output(job, output), []
            doomed = doom(session, job, Status.CANCELLED) if job.started_at else None
            closings = [] if doomed else end_waiting(session, Status.CANCELLED, None, Job.id == job_id)
        if doomed and (closing := end_running(scope, client, doomed, ttl_s)):
            closings = [closing, *_end_own_children(scope, client, job_id, ttl_s)]
        if closings:
            return closings[0].view, closings


def doom(
    session: Session,
    job: Job,
    status: Status,
    error: Error | None = None,
    how: str | None = None,
    still: ColumnElement[bool] | None = None,
) -> Doomed:
    """The first step: the job as it was found."""
    begun_at_s = job.started_at.timestamp() if job.started_at else 0.0
    so_far, numbered = jobs.so_far(session, job.id), job.type == responses.TYPE
    return Doomed(job.id, job.attempt, so_far, status, error, how, still, begun_at_s, numbered)


def end_running(scope: Transactions, client: redis.Redis | None, doomed: Doomed, ttl_s: int) -> Closing | None:
    """The other steps. None when the job has ended meanwhile, another attempt begun, or it isn't `still` as it was.

    Then: `follow_up`.

    Redis isn't asked where there is no `client`. Raises SQLAlchemy's errors.
    """
    salvaged, whole = _salvage(client, doomed, ttl_s)
    code, message = doomed.error or (None, None)
    with scope.begin() as session:
        newest = (*fence.fenced(doomed.job_id, doomed.attempt), Job.finished_at.is_(None))
        still = () if doomed.still is None else (doomed.still,)
        found = session.scalar(select(Job).where(*newest, *still).with_for_update(key_share=True))
        if found is None:
            return None
        stored = jobs.so_far(session, doomed.job_id)
        streamed = max(salvaged, stored, key=lambda told: len(told.entries))
        if doomed.numbered and not whole:
            streamed.add(Resumed(doomed.attempt + 1, lost=True))
        how = (doomed.how, None) if doomed.how else (doomed.status, code)
        if found.status == Status.RUNNING and (run := attempts.of_row(found)):
            attempts.end(session, [run], *how)
        [job] = lifecycle.move(
            session,
            doomed.status,
            Job.id == doomed.job_id,
            attempt=doomed.attempt + 1,
            finished_at=func.clock_timestamp(),
            error_code=code,
            error_message=message,
            **fence.added(streamed.spent),
        )
        [closing] = settlement.conclude(session, [End(job, streamed)])
    return closing


def end_many_running(scope: Transactions, client: redis.Redis, doomed: Sequence[Doomed], ttl_s: int) -> list[Closing]:
    """`end_running` for many. Where one can't have its lock in time, the others end all the same."""
    reachable = client if doomed and _answers(client) else None
    closings = []
    for one in doomed:
        try:
            closings.append(end_running(scope, reachable, one, ttl_s))
        except OperationalError as error:
            if error.connection_invalidated:
                raise
            log.warning("not_ended", job_id=ids.show(one.job_id), error=told(error))
    return [closing for closing in closings if closing]


def end_waiting(session: Session, status: Status, error: Error | None, *which: ColumnElement[bool]) -> list[Closing]:
    """Ends the jobs that match and have never started, however many, in a few statements, without Redis: nothing was
    streamed or spent. After the commit: `follow_up`.
    """
    code, message = error or (None, None)
    ended = lifecycle.move(
        session,
        status,
        Job.started_at.is_(None),
        *which,
        attempt=Job.attempt + 1,
        finished_at=func.clock_timestamp(),
        error_code=code,
        error_message=message,
        **fence.added(NOTHING),
    )
    return settlement.conclude(session, [End(job) for job in ended]) if ended else []


def expire(session: Session, limit: int) -> list[Closing]:
    """Ends jobs that haven't started in time, at most `limit`, in turns between tenants. After the commit: `follow_up`.

    Where one tenant's jobs can't have a lock in time, the others' end all the same. Of a tenant with many webhooks
    fewer jobs end at once, since each is told to all of them.
    """
    late = turns.each_in_turn(jobs_table.EXPIRES, jobs_table.is_late(), Job.expires_at.asc(), limit)
    found = select(Job.tenant_id, Job.id).where(once.among(Job.id, late)).with_for_update(skip_locked=True)
    by_tenant: defaultdict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    for tenant_id, job_id in session.execute(found):
        by_tenant[tenant_id].append(job_id)
    return _end_by_tenant(session, Status.EXPIRED, None, by_tenant, jobs_table.is_late())


def stop_overdue(scope: Transactions, client: redis.Redis, limit: int, ttl_s: int) -> list[Closing]:
    """Fails jobs that run for longer than they may, at most `limit`, in turns between tenants. Then: `follow_up`."""
    overdue = turns.each_in_turn(jobs_table.HAS_DEADLINE, jobs_table.is_overdue(), Job.started_at.asc(), limit)

    def error(job: Job) -> Error:
        return errors.DeadlineExceeded.code, f"it had {job.deadline_s} s from its first start to its end"

    with scope.begin() as session:
        found = jobs_table.unlocked(session, once.among(Job.id, overdue))
        doomed = [doom(session, job, Status.FAILED, error(job)) for job in found]
    return end_many_running(scope, client, doomed, ttl_s)


def end_unserved(scope: Transactions, client: redis.Redis, model: str, limit: int, ttl_s: int) -> list[Closing]:
    """Fails jobs that wait for a model that isn't served any more, at most `limit`. Then: `follow_up`.

    Those that run, and those that another transaction holds right now, are left alone; of a tenant with many webhooks
    fewer end at once.
    """
    error = (errors.ModelRemoved.code, f"the model {model} isn't served any more, and what waited for it was ended")
    return _end(scope, client, Status.FAILED, error, jobs_table.waits_for(model), limit, ttl_s)


def end_tenants(
    scope: Transactions, client: redis.Redis, tenant_id: uuid.UUID, status: str, limit: int, ttl_s: int
) -> list[Closing]:
    """Cancels jobs of the tenant, at most `limit`, that are in this status, children too. Then: `follow_up`.

    Those that another transaction holds right now are left alone.
    """
    which = and_(Job.tenant_id == tenant_id, Job.status == status)
    return _end(scope, client, Status.CANCELLED, None, which, limit, ttl_s)


def end_unstarted(session: Session, parent_id: uuid.UUID, error: Error, limit: int) -> int:
    """Cancels children, at most `limit`, that never started, of a parent that doesn't wait for them now; how many.

    Nobody is told of each of them, nor is the parent moved on. Those that another transaction holds are left alone.
    """
    code, message = error
    some = select(Job.id).where(Job.parent_id == parent_id, Job.finished_at.is_(None), Job.started_at.is_(None))
    ended = lifecycle.move_many(
        session,
        Status.CANCELLED,
        once.among(Job.id, some.limit(limit).with_for_update(skip_locked=True, key_share=True)),
        attempt=Job.attempt + 1,
        finished_at=func.clock_timestamp(),
        error_code=code,
        error_message=message,
        **fence.added(NOTHING),
    )
    settlement.keep(session, ended)
    return len(ended)


def end_children(
    scope: Transactions,
    client: redis.Redis,
    parent_ids: Collection[uuid.UUID],
    limit: int,
    ttl_s: int,
    error: Error | None = None,
) -> list[Closing]:
    """Cancels children, at most `limit`, that haven't ended though these parents have, or are about to, for which
    `error` is given. Then: `follow_up`.

    The sweep ends the others, and their own children, should they be parents themselves.
    """
    which = families.is_unfinished_child(parent_ids)
    return _end(scope, client, Status.CANCELLED, error, which, limit, ttl_s) if parent_ids else []


def _end(
    scope: Transactions,
    client: redis.Redis,
    status: Status,
    error: Error | None,
    which: ColumnElement[bool],
    limit: int,
    ttl_s: int,
) -> list[Closing]:
    """Ends jobs that match, at most `limit`, started or not. Those that another transaction holds are left alone."""
    with scope.begin() as session:
        found = jobs_table.unlocked(session, which, limit=limit)
        doomed = [doom(session, job, status, error) for job in found if job.started_at is not None]
        unstarted: defaultdict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
        for job in found:
            if job.started_at is None:
                unstarted[job.tenant_id].append(job.id)
        closings = _end_by_tenant(session, status, error, unstarted)
    return closings + end_many_running(scope, client, doomed, ttl_s)


def _end_own_children(scope: Transactions, client: redis.Redis, parent_id: uuid.UUID, ttl_s: int) -> list[Closing]:
    """Those of a parent that has just ended, and theirs: of those that started, which may be parents themselves.

    Where they can't be had now the sweep ends them: the parent's end stands, and must be told.
    """
    closings: list[Closing] = []
    parents: Collection[uuid.UUID] = [parent_id]
    try:
        while parents:
            ended = end_children(scope, client, parents, CHILDREN_AT_ONCE, ttl_s)
            closings += ended
            parents = [closing.view.id for closing in ended if closing.view.started_at]
    except SQLAlchemyError as error:
        log.warning("children_not_ended", job_id=ids.show(parent_id), error=told(error))
    return closings


def follow_up(scope: Transactions, client: redis.Redis, closings: Sequence[Closing], ttl_s: int) -> set[str]:
    """What follows the commit of ends: they are announced, parents go on. Idempotent. Returned: queues to refill."""
    announce(client, closings, ttl_s)
    return family.go_on(scope, (closing.view for closing in closings))


def announce(client: redis.Redis, closings: Sequence[Closing], ttl_s: int) -> bool:
    """Writes the streams' last events and stops the workers that may be running the jobs. Best effort, idempotent.

    False when Redis couldn't be reached. Then no other is tried, since each would wait as long; readers are told from
    PostgreSQL.
    """
    for closing in closings:
        telemetry.emit(closing.view.ended_fact())
    try:
        for closing in closings:
            _announce(client, closing, ttl_s)
    except redis.RedisError as error:
        log.warning("end_not_announced", error=str(error))
        return False
    return True


def _announce(client: redis.Redis, closing: Closing, ttl_s: int) -> None:
    ended = closing.view
    last = Entry(closing.entries + 1, ended.end())
    writer = stream.Writer(client, ended.id, ended.attempt, ttl_s, last=f"{ended.attempt}-0")
    if closing.entries:
        writer.append([last])
    else:
        writer.open([last])  # of a job that never started there is no stream yet
    if ended.started_at:
        client.publish(CANCELS, ended.id.hex)


def _salvage(client: redis.Redis | None, doomed: Doomed, ttl_s: int) -> tuple[Transcript, bool]:
    """All that was streamed so far, and whether that is surely all; the checkpoint when Redis can't be reached."""
    if client is None:
        return doomed.checkpoint, False
    try:
        whole = stream.is_whole(client, doomed.job_id, doomed.begun_at_s)
        writer = stream.Writer(client, doomed.job_id, doomed.attempt + 1, ttl_s)
        return stream.take_over(writer, doomed.checkpoint), whole
    except (redis.RedisError, ValueError, KeyError) as error:
        log.warning("stream_unreachable", job_id=ids.show(doomed.job_id), error=str(error))
        return doomed.checkpoint, False


def _end_by_tenant(
    session: Session,
    status: Status,
    error: Error | None,
    by_tenant: Mapping[uuid.UUID, Sequence[uuid.UUID]],
    *also: ColumnElement[bool],
) -> list[Closing]:
    """`end_waiting` for these jobs, so many of each tenant's as its webhooks can be told of at once."""

    def end(tenant_id: uuid.UUID) -> list[Closing]:
        targets = len(endpoints.listening(session, tenant_id, f"job.{status}")) + 1
        some = by_tenant[tenant_id][: _MESSAGES_AT_ONCE // targets]
        return end_waiting(session, status, error, Job.id.in_(some), *also)

    return [closing for closings in _each(session, by_tenant, end) for closing in closings]


def _each(session: Session, whose: Iterable[uuid.UUID], end: Callable[[uuid.UUID], Ended]) -> list[Ended]:
    """Ends tenant by tenant: where one's jobs can't have a lock in time, the others' end all the same."""
    ended = []
    for id in whose:
        try:
            with session.begin_nested():
                ended.append(end(id))
        except OperationalError as error:
            if error.connection_invalidated:
                raise
            log.warning("not_ended", of=str(id), error=told(error))
    return ended


def _answers(client: redis.Redis) -> bool:
    """Whether Redis can be reached. Asked once for many jobs, since each would wait for its own time-out."""
    try:
        client.ping()
    except redis.RedisError as error:
        log.warning("redis_unreachable", error=str(error))
        return False
    return True
