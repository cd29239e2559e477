"""The sweep: moves on what should be moving and isn't. A thread in every worker; never two rounds at once."""

import datetime as dt
import time
import uuid
from dataclasses import dataclass

import redis
import structlog
from sqlalchemy import and_, func, select, text
from sqlalchemy.orm import Session

from db import jobs, workers
from db.jobs import Job
from db.workers import Worker
from tasks import broker, ending, failpoints, lifecycle
from tasks.dispatch import Dispatcher
from tasks.lifecycle import Status
from tasks.window import Ticket

log = structlog.get_logger(__name__)

CRASHES_ALLOWED = 3
FORGET_WORKERS_S = 3600
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
            waiting = jobs.models_waiting(session)
            tickets = self._lost_messages(session)
            workers.remove_silent_since(session, FORGET_WORKERS_S)
        for closing in closings:
            ending.announce(self.client, closing, self.ttl_s)
        if tickets:
            failpoints.passed("sweeper.between_update_and_ring")
        self.dispatcher.send(tickets)
        for model in waiting:
            self.dispatcher.refill(model)

    def _reclaim(self, session: Session) -> list[ending.Closing]:
        """Takes running jobs from workers whose lease ran out; ends those that took too many workers with them.

        Only after a lease of rounds that all reached PostgreSQL and found its clock going: when it has been away or
        its clock was set, nobody's heart was heard as it should be, and that proves no death.
        """
        alive = select(Worker.id).where(workers.beats(self.lease_s))
        orphaned = and_(Job.status == Status.RUNNING, Job.worker_id.not_in(alive))
        poison = session.scalars(select(Job.id).where(orphaned, Job.crashes >= CRASHES_ALLOWED - 1)).all()
        error = ("poison", f"{CRASHES_ALLOWED} workers died while running this job")
        closed = [ending.close(session, self.client, job_id, Status.FAILED, error, self.ttl_s) for job_id in poison]
        orphans = lifecycle.move(
            session,
            Status.DISPATCHED,
            orphaned,
            crashes=Job.crashes + 1,
            dispatched_at=func.clock_timestamp() - dt.timedelta(seconds=_SETTLE_S),
        )
        for job in orphans:
            log.warning("lease_ran_out", job_id=str(job.id), attempt=job.attempt, worker=job.worker_id)
        return [closing for closing in closed if closing]

    def _lost_messages(self, session: Session) -> list[Ticket]:
        """Dispatched jobs to send again: where Redis holds fewer messages than were sent, or a free slot finds none."""
        due = func.clock_timestamp() - dt.timedelta(seconds=_SETTLE_S)
        stale = and_(Job.status == Status.DISPATCHED, Job.dispatched_at <= due)
        rows = session.execute(select(Job.id, Job.model, Job.lane).where(stale).order_by(Job.dispatched_at)).all()
        strengths = workers.strengths(session, self.lease_s)
        missing = []
        for model in {row.model for row in rows} & strengths.keys():
            sent = session.scalar(select(func.count()).where(Job.model == model, Job.status == Status.DISPATCHED)) or 0
            if strengths[model].free > 0 or self._messages(model) < sent:
                missing += [row for row in rows if row.model == model]
        self._mark_sent(session, [row.id for row in missing])
        return [Ticket(row.id, broker.queue(row.model, row.lane)) for row in missing]

    def _mark_sent(self, session: Session, job_ids: list[uuid.UUID]) -> None:
        if job_ids:
            lifecycle.mark_sent(session, job_ids)
            log.info("sent_again", jobs=len(job_ids))

    def _messages(self, model: str) -> int:
        """How many messages of the model wait in Redis; more than enough when it can't be asked."""
        try:
            keys = [broker.KEY_PREFIX + broker.queue(model, lane) for lane in jobs.LANES]
            return sum(int(self.queues.llen(key)) for key in keys)
        except redis.RedisError as error:
            log.warning("redis_unreachable", error=str(error))
            return 1_000_000
