"""The sweep: moves on what should be moving and isn't. A thread in every worker; never two rounds at once."""

import datetime as dt
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis
import structlog
from sqlalchemy import ColumnElement, and_, func, not_, select, text
from sqlalchemy.orm import Session

from db import attempts, idempotency, jobs, turns, workers
from db.jobs import Job
from db.workers import Strength, Worker
from tasks import errors, failpoints
from tasks.jobs import endings, lifecycle
from tasks.jobs.lifecycle import Status
from tasks.queues import broker, window
from tasks.queues.dispatch import Dispatcher
from tasks.queues.window import Ticket

log = structlog.get_logger(__name__)

FORGET_WORKERS_S = 3600
FORGET_KEYS_S = 25 * 3600  # a day is what we promise
# A round does at most so much, in turns between tenants, so that it is over before the next is due.
_EXPIRED_AT_ONCE = 500
_STOPPED_AT_ONCE = 50  # each has its own stream to be read
_QUEUED_AT_ONCE = 500
# A message needs a moment from the window's commit to Redis and from Redis to the claim.
_SETTLE_S = 2.0


@dataclass(slots=True)
class Sweeper:
    """Safe to run in any number of processes; one round at a time does the work.

    Needs PostgreSQL; without Redis it does what it can. `queues` is the broker's Redis, `client` that of the streams.
    """

    dispatcher: Dispatcher
    client: redis.Redis
    queues: redis.Redis
    lease_s: float
    ttl_s: int
    _steady_since: float | None = None  # since when every round has reached PostgreSQL
    _swept_at: float = 0.0
    _offset_s: float | None = None  # how far PostgreSQL's clock was ahead of our monotonic one

    def sweep(self) -> None:
        """One round. Raises SQLAlchemy's errors when PostgreSQL can't be reached."""
        began_at = time.monotonic()
        if self._steady_since is None or began_at - self._swept_at > self.lease_s / 2:
            self._steady_since = began_at
        steady_since, self._steady_since = self._steady_since, None
        jumped = self._jumped()
        self._round(steady=began_at - steady_since > self.lease_s and not jumped)
        self._steady_since, self._swept_at = began_at if jumped else steady_since, time.monotonic()

    def _jumped(self) -> bool:
        """Whether PostgreSQL's clock was set since the last round: all hearts look silent then, or young for long."""
        with self.dispatcher.sessions() as session:
            now_s = session.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()
        offset_s = float(now_s) - time.monotonic()
        before_s, self._offset_s = self._offset_s, offset_s
        jumped = before_s is not None and abs(offset_s - before_s) > self.lease_s / 2
        if jumped:
            log.warning("clock_jumped", seconds=round(offset_s - (before_s or 0), 1))
        return jumped

    def _round(self, *, steady: bool) -> None:
        with self.dispatcher.sessions.begin() as session:
            # Who has waited for a lock would judge hearts by a clock that went on meanwhile.
            session.execute(text("SET LOCAL lock_timeout = '500ms'"))
            if not session.scalar(text("SELECT pg_try_advisory_xact_lock(hashtext('forebay.sweep'))")):
                return
            closings = self._reclaim(session) if steady else []
            closings += endings.expire(session, _EXPIRED_AT_ONCE)
            closings += endings.stop_overdue(session, self.client, _STOPPED_AT_ONCE, self.ttl_s)
            _queue_due(session)
            waiting = jobs.queues_waiting(session)
            strengths = workers.strengths(session, self.lease_s)
            tickets = self._lost_messages(session, strengths) + self._lifted(session, strengths)
            workers.remove_silent_since(session, FORGET_WORKERS_S)
            idempotency.forget_older_than(session, FORGET_KEYS_S)
        if tickets:
            failpoints.passed("sweeper.between_update_and_ring")
        self.dispatcher.send(tickets)
        for queue in waiting:
            self.dispatcher.refill(queue)
        for closing in closings:
            if not endings.announce(self.client, closing, self.ttl_s):
                break  # each would wait as long; who listens is told from PostgreSQL

    def _reclaim(self, session: Session) -> list[endings.Closing]:
        """Takes running jobs from workers whose lease ran out; ends those that took too many workers with them.

        Only after a lease of rounds that all reached PostgreSQL and found its clock going: when it has been away or
        its clock was set, nobody's heart was heard as it should be, and that proves no death.
        """
        alive = select(Worker.id).where(workers.beats(self.lease_s))
        orphaned = and_(Job.status == Status.RUNNING, Job.worker_id.not_in(alive))
        poison = and_(orphaned, Job.crashes >= Job.chances - 1)
        orphans = lifecycle.move(
            session,
            Status.DISPATCHED,
            Job.id.in_(_unlocked(session, and_(orphaned, not_(poison)))),
            crashes=Job.crashes + 1,
            dispatched_at=func.clock_timestamp() - dt.timedelta(seconds=_SETTLE_S),
        )
        for job in orphans:
            attempts.end_open(session, job.id, job.attempt, "lost")
            log.warning("lease_ran_out", job_id=str(job.id), attempt=job.attempt, worker=job.worker_id)
        return endings.each(session, _unlocked(session, poison), lambda job_id: self._poison(session, job_id))

    def _poison(self, session: Session, job_id: uuid.UUID) -> endings.Closing | None:
        job = session.get_one(Job, job_id, populate_existing=True)
        attempts.end_open(session, job_id, job.attempt, "lost")
        error = (errors.Poison.code, f"workers died while running this job: {job.crashes + 1}")
        return endings.close(session, self.client, job_id, Status.FAILED, error, self.ttl_s)

    def _lifted(self, session: Session, strengths: Mapping[str, Strength]) -> list[Ticket]:
        """Batch jobs that have stood still behind interactive work for too long, one a queue."""
        busy = [queue for queue, strength in strengths.items() if not strength.free]
        tickets = [ticket for queue in busy if (ticket := window.lift(session, queue))]
        for ticket in tickets:
            log.info("lifted", job_id=str(ticket.job_id))
        return tickets

    def _lost_messages(self, session: Session, strengths: Mapping[str, Strength]) -> list[Ticket]:
        """Dispatched jobs to send again: where Redis holds fewer messages than were sent, or a free slot finds none.

        Those that are late aren't sent, nor missed.
        """
        due = func.clock_timestamp() - dt.timedelta(seconds=_SETTLE_S)
        waits = and_(Job.status == Status.DISPATCHED, jobs.may_start())
        stale = and_(waits, Job.dispatched_at <= due)
        rows = session.execute(select(Job.id, Job.queue, Job.lane).where(stale).order_by(Job.dispatched_at)).all()
        missing = []
        for queue in {row.queue for row in rows} & strengths.keys():
            sent = session.scalar(select(func.count()).where(Job.queue == queue, waits)) or 0
            if strengths[queue].free > 0 or self._messages(queue) < sent:
                missing += [row for row in rows if row.queue == queue]
        self._mark_sent(session, [row.id for row in missing])
        return [Ticket(row.id, broker.lane(row.queue, row.lane)) for row in missing]

    def _mark_sent(self, session: Session, job_ids: list[uuid.UUID]) -> None:
        if job_ids:
            lifecycle.mark_sent(session, job_ids)
            log.info("sent_again", jobs=len(job_ids))

    def _messages(self, queue: str) -> int:
        """How many messages of the queue wait in Redis; more than enough when it can't be asked."""
        try:
            keys = [broker.KEY_PREFIX + broker.lane(queue, lane) for lane in jobs.LANES]
            return sum(int(self.queues.llen(key)) for key in keys)
        except redis.RedisError as error:
            log.warning("redis_unreachable", error=str(error))
            return 1_000_000


def _unlocked(session: Session, which: ColumnElement[bool]) -> Sequence[uuid.UUID]:
    """The jobs that match, locked; those that somebody else holds have their turn in another round."""
    query = select(Job.id).where(which).with_for_update(skip_locked=True, key_share=True)
    return session.scalars(query).all()


def _queue_due(session: Session) -> None:
    """Lets scheduled jobs whose time has come wait for their turn, in turns between tenants; late ones stay."""
    scheduled = Job.status == Status.SCHEDULED
    due = turns.each_in_turn(scheduled, Job.due_at <= func.now(), Job.due_at.asc(), _QUEUED_AT_ONCE)
    moved = lifecycle.move(session, Status.QUEUED, lifecycle.unlocked(Job.id.in_(due), jobs.may_start()))
    if moved:
        log.info("came_due", jobs=len(moved))
