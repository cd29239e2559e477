"""The sweep: moves on what should be moving and isn't. A thread in every worker; never two rounds at once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import redis
import structlog
from sqlalchemy import func, select, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from tasks import failpoints, telemetry
from tasks.jobs import endings
from tasks.queues.dispatch import Dispatcher
from tasks.sweep import due, families, forgetting, late, lost_messages, orphans, starved, waiting
from tasks.sweep.chore import Chore, FollowUp, Sweep
from tasks.telemetry import SweepRound

log = structlog.get_logger(__name__)

# In this order: what one chore moves, a later one may find. Lost jobs are sent again, and due ones have their queues
# refilled, in the round that finds them.
CHORES: tuple[Chore, ...] = (
    orphans.reclaim,
    late.expire,
    late.stop_overdue,
    families.end_children,
    families.move_on,
    due.queue,
    lost_messages.send_again,
    starved.promote,
    forgetting.silent_workers,
    forgetting.idempotency_keys,
    waiting.refill,
)
_UNREACHABLE = (OperationalError, InterfaceError, PoolTimeout)


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
    chores: Sequence[Chore] = CHORES
    _steady_since: float | None = None  # since when every round has reached PostgreSQL
    _swept_at: float = 0.0
    _offset_s: float | None = None  # how far PostgreSQL's clock was ahead of our monotonic one

    def sweep(self) -> None:
        """One round. Raises SQLAlchemy's errors when PostgreSQL can't be reached, or kept a chore waiting for a lock.

        Then no worker's silence proves a death until rounds have succeeded for a lease again (docs/adr/0006).
        """
        began_at = time.monotonic()
        if self._steady_since is None or began_at - self._swept_at > self.lease_s / 2:
            self._steady_since = began_at
        steady_since, self._steady_since = self._steady_since, None
        jumped = self._jumped()
        self._round(steady=began_at - steady_since > self.lease_s and not jumped)
        self._steady_since, self._swept_at = began_at if jumped else steady_since, time.monotonic()

    def _jumped(self) -> bool:
        """Whether PostgreSQL's clock was set since the last round: then all workers look silent, or alive for long."""
        with self.dispatcher.sessions() as session:
            now_s = session.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()
        offset_s = float(now_s) - time.monotonic()
        before_s, self._offset_s = self._offset_s, offset_s
        jumped = before_s is not None and abs(offset_s - before_s) > self.lease_s / 2
        if jumped:
            log.warning("clock_jumped", seconds=round(offset_s - (before_s or 0), 1))
        return jumped

    def _round(self, *, steady: bool) -> None:
        sweep = Sweep(self.dispatcher.sessions, self.client, self.queues, self.lease_s, self.ttl_s, steady)
        unreachable: list[Exception] = []
        with self.dispatcher.sessions.begin() as session:
            if not _alone(session):
                return
            began_at = time.monotonic()
            done = [_tried(chore, sweep, unreachable) for chore in self.chores]
        self._follow_up(done)
        _tell(done, time.monotonic() - began_at)
        if unreachable:
            raise unreachable[0]

    def _follow_up(self, done: Sequence[FollowUp]) -> None:
        wake_ups = [wake_up for each in done for wake_up in each.wake_ups]
        if wake_ups:
            failpoints.passed("sweeper.between_update_and_ring")
        self.dispatcher.send(wake_ups)
        for queue in dict.fromkeys(queue for each in done for queue in each.queues):
            self.dispatcher.refill(queue)
        endings.announce(self.client, [closing for each in done for closing in each.ends], self.ttl_s)


def _alone(session: Session) -> bool:
    """Whether no other process is in a round. The transaction keeps others out, for as long as a round may take."""
    # It waits idle while the chores work in transactions of their own; of a machine that vanished it ends by itself.
    session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '60s'"))
    return bool(session.scalar(text("SELECT pg_try_advisory_xact_lock(hashtext('forebay.sweep'))")))


def _tell(done: Sequence[FollowUp], took_s: float) -> None:
    sent, refilled = sum(len(each.wake_ups) for each in done), sum(len(each.queues) for each in done)
    telemetry.emit(SweepRound(took_s, sent, refilled, ended=sum(len(each.ends) for each in done)))


def _tried(chore: Chore, sweep: Sweep, unreachable: list[Exception]) -> FollowUp:
    """What the chore found. Its failure is logged and keeps no other from its work; PostgreSQL's are collected."""
    name = f"{chore.__module__.rpartition('.')[2]}.{chore.__name__}"
    try:
        return chore(sweep)
    except _UNREACHABLE as error:
        unreachable.append(error)
        log.warning("chore_failed", chore=name, error=str(error))
    except Exception:  # the chore's boundary: a slip in one must not stop the others
        log.exception("chore_failed", chore=name)
    return FollowUp()
