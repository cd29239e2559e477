"""The sweep: moves on what should be moving and isn't. A thread in every worker looks, one of them has the round."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import redis
import structlog
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from db import rounds
from db.session import Sessions, alone, as_sql, told
from tasks import failpoints, telemetry
from tasks.files.stores import Stores
from tasks.jobs import endings
from tasks.queues import epochs
from tasks.queues.dispatch import Dispatcher
from tasks.settings import IN_POSTGRES, FileSettings
from tasks.sweep import (
    batches,
    bookkeeping,
    due,
    families,
    forgetting,
    late,
    lost_messages,
    orphans,
    retention,
    starved,
    strays,
    unstored,
    waiting,
)
from tasks.sweep.chore import Chore, FollowUp, Sweep
from tasks.telemetry import SweepRound

log = structlog.get_logger(__name__)

# In this order: what one chore moves, a later one may find. Lost jobs are sent again, and due ones have their queues
# refilled, in the round that finds them.
CHORES: tuple[Chore, ...] = (
    Chore(orphans.reclaim, orphans.wanted),
    Chore(late.expire, late.are_late),
    Chore(late.stop_overdue, late.are_overdue),
    Chore(families.end_children, families.wants_to_end_children),
    Chore(batches.expire, batches.are_late),
    Chore(batches.hurry, batches.want_to_hurry),
    Chore(families.move_on, families.wants_to_move_on),
    Chore(due.queue, due.wanted),
    Chore(lost_messages.send_again, lost_messages.wanted),
    Chore(starved.promote, starved.wanted),
    Chore(forgetting.silent_workers, forgetting.long_silent, by_itself=True),
    Chore(forgetting.idempotency_keys, forgetting.old_keys, by_itself=True),
    Chore(forgetting.bindings, forgetting.time_for_bindings, by_itself=True),
    Chore(forgetting.revoked_keys, forgetting.time_for_revoked_keys, by_itself=True),
    Chore(forgetting.suspended_tenants, forgetting.time_for_suspended_tenants, by_itself=True),
    Chore(forgetting.unused_steps, forgetting.time_for_steps, by_itself=True),
    Chore(forgetting.loose_documents, forgetting.time_for_documents, by_itself=True),
    Chore(forgetting.files, forgetting.time_for_files, by_itself=True),
    Chore(forgetting.vector_stores, forgetting.time_for_stores, by_itself=True),
    Chore(unstored.forget, unstored.wanted, by_itself=True),
    Chore(waiting.refill, waiting.wanted),
    Chore(strays.tell, strays.wanted, by_itself=True),
    Chore(bookkeeping.add_up, bookkeeping.wanted, by_itself=True),
)
_UNREACHABLE = (OperationalError, InterfaceError, PoolTimeout)


@dataclass(slots=True)
class Sweeper:
    """Safe to run in any number of processes, which look again and again: whoever finds that the last round began
    `every_s` ago has the next one.

    Needs PostgreSQL; without Redis it does what it can. `queues` is the broker's Redis, `client` that of the streams.
    """

    dispatcher: Dispatcher
    sessions: Sessions
    client: redis.Redis
    queues: redis.Redis
    lease_s: float
    ttl_s: int
    every_s: float
    kept_s: float | None = None
    files: FileSettings = IN_POSTGRES
    chores: Sequence[Chore] = CHORES
    _stores: Stores = field(init=False)
    _steady_since: float | None = None  # since when every round has reached PostgreSQL
    _swept_at: float = 0.0
    _told: dict[redis.Redis, str] = field(default_factory=dict)  # what keeps Redis from being looked at
    _offset_s: float | None = None  # how far PostgreSQL's clock was ahead of our monotonic one

    def __post_init__(self) -> None:
        self._stores = Stores(self.files, self.sessions)
        if self.kept_s is not None:
            self.kept_s = max(self.kept_s, self.ttl_s)
            self.chores = (*self.chores, *retention.chores(self.kept_s))

    def sweep(self) -> None:
        """A look, and a round where that is this process's.

        Raises SQLAlchemy's errors when PostgreSQL can't be reached, or kept the look or a chore waiting for a lock.

        Then no worker's silence proves a death until rounds have succeeded for a lease again (docs/adr/0006).
        """
        began_at = time.monotonic()
        if self._steady_since is None or began_at - self._swept_at > self.lease_s / 2:
            self._steady_since = began_at
        steady_since, self._steady_since = self._steady_since, None
        steady = began_at - steady_since > self.lease_s
        with self.sessions.begin() as session:
            clock_s, ours = rounds.look(session, lease_s=self.lease_s, every_s=self.every_s, hurry=steady)
        jumped = self._jumped(clock_s)
        if ours:
            self._round(steady=steady and not jumped)
        self._steady_since, self._swept_at = began_at if jumped else steady_since, time.monotonic()

    def _jumped(self, clock_s: float) -> bool:
        """Whether PostgreSQL's clock was set since the last look: then all workers look silent, or alive for long."""
        offset_s = clock_s - time.monotonic()
        before_s, self._offset_s = self._offset_s, offset_s
        jumped = before_s is not None and abs(offset_s - before_s) > self.lease_s / 2
        if jumped:
            log.warning("clock_jumped", seconds=round(offset_s - (before_s or 0), 1))
        return jumped

    def _round(self, *, steady: bool) -> None:
        epochs.settle(self.sessions, (self.client, self.queues), self._told)
        unreachable: list[Exception] = []
        chores = self._wanted(unreachable)
        if not chores:
            return
        sweep = Sweep(
            self.sessions, self.client, self.queues, self.lease_s, self.ttl_s, steady, self._stores, self.kept_s
        )
        with self.sessions.begin() as session:
            if not _alone(session):
                return
            began_at = time.monotonic()
            done = [_tried(chore, sweep, unreachable) for chore in chores]
        self._follow_up(done)
        _tell(done, time.monotonic() - began_at)
        if unreachable:
            raise unreachable[0]

    def _wanted(self, unreachable: list[Exception]) -> Sequence[Chore]:
        """From the first that has something to do on, as the others may find what that one moves; of those that are by
        themselves the wanted ones. All, where PostgreSQL doesn't say: a table that is locked may be only one chore's.
        """
        try:
            with self.sessions.begin() as session:
                [found] = alone(session)(_probe(tuple(self.chores), self.lease_s), {})
        except _UNREACHABLE as error:
            unreachable.append(error)
            return self.chores
        told = list(zip(self.chores, found.values(), strict=True))
        first = next((place for place, (chore, wanted) in enumerate(told) if wanted and not chore.by_itself), len(told))
        return [
            chore for place, (chore, wanted) in enumerate(told) if wanted or (place > first and not chore.by_itself)
        ]

    def _follow_up(self, done: Sequence[FollowUp]) -> None:
        wake_ups = [wake_up for each in done for wake_up in each.wake_ups]
        if wake_ups:
            failpoints.passed("sweeper.between_update_and_ring")
        self.dispatcher.send(wake_ups)
        for queue in dict.fromkeys(queue for each in done for queue in each.queues):
            self.dispatcher.refill(queue)
        ended = [closing for each in done for closing in each.ends]
        for queue in endings.follow_up(self.sessions, self.client, ended, self.ttl_s):
            self.dispatcher.refill(queue)


@cache
def _probe(chores: tuple[Chore, ...], lease_s: float) -> str:
    wanted = (f"EXISTS {as_sql(chore.wanted(lease_s))} AS wanted_{place}" for place, chore in enumerate(chores))
    return "SELECT " + ", ".join(wanted)


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
    name = f"{chore.act.__module__.rpartition('.')[2]}.{chore.act.__name__}"
    try:
        return chore.act(sweep)
    except _UNREACHABLE as error:
        unreachable.append(error)
        log.warning("chore_failed", chore=name, error=told(error))
    except Exception:  # the chore's boundary: a slip in one must not stop the others
        log.exception("chore_failed", chore=name)
    return FollowUp()
