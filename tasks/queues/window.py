"""The window: which waiting jobs are handed to Redis next, and how many."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, func, literal, or_, select, text
from sqlalchemy.orm import Session

from db import jobs, turns, windows, workers
from db.jobs import Job
from db.turns import Next
from db.workers import Worker
from tasks.jobs import lifecycle, stages
from tasks.jobs.lifecycle import Status
from tasks.queues import broker

# The longest that batch work stands still behind interactive work: then one job of it goes first.
STARVED_S = 60.0
_LIFTABLE = 200  # so many of those next in turn are looked at for one that has waited so long

_NO_JOB = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A job that is to be sent, and where."""

    job_id: uuid.UUID
    queue: str


@dataclass(frozen=True, slots=True)
class View:
    """What a refill decides on: the living slots of a queue, what moves on them, and who waits."""

    slots: int
    dispatched: int
    batch_moving: int
    long_moving: int
    interactive_waits: bool
    batch_waits: bool

    @property
    def room(self) -> int:
        """How many jobs the window takes now. It is filled in gulps: half of it has to be empty first."""
        return 2 * self.slots - self.dispatched if self.dispatched <= self.slots else 0

    @property
    def batch_room(self) -> int:
        """How many of those may be batch work. Of several slots one stays free of it."""
        return max(0, min(self.room, max(1, self.slots - 1) - self.batch_moving))

    @property
    def long_room(self) -> int:
        """How many may be in a stage that takes long. A quarter of several slots stays free of those, so that a query
        finds one whatever is ingested beside it.
        """
        return max(0, self.slots - max(self.slots > 1, self.slots // 4) - self.long_moving)

    @property
    def worth_a_refill(self) -> bool:
        return (self.interactive_waits and self.room > 0) or (self.batch_waits and self.batch_room > 0)


def admit(session: Session, job_id: uuid.UUID, queue: str, lane: str, lease_s: float) -> Ticket | None:
    """Lets a job just inserted straight into the window when it is interactive, nobody else waits, and there is room.

    In the transaction of its submission; the caller commits, then sends the ticket, or asks for a refill when there is
    none. It takes no lock: submissions at the same moment may overfill the window by their number, which costs nothing.
    """
    view = _view(session, queue, lease_s, besides=job_id)
    if lane != "interactive" or view.interactive_waits or view.dispatched >= 2 * view.slots:
        return None
    may = (Job.id == job_id, jobs.may_start(), *([] if view.long_room else [Job.stage.not_in(stages.LONG)]))
    if not lifecycle.move(session, Status.DISPATCHED, *may, dispatched_at=func.clock_timestamp()):
        return None  # its time hasn't come, or has passed, or it takes long and enough of those are under way
    return Ticket(job_id, broker.lane(queue, lane))


def refill(session: Session, queue: str, lease_s: float) -> list[Ticket]:
    """Moves what has room into the window; the caller commits, then sends the tickets.

    Call it after the commit of whatever made work or room. It looks without the lock first: who sees no room then
    can rely on the claim that makes some to look again, later than this one's own commit.
    """
    if not _view(session, queue, lease_s).worth_a_refill:
        return []
    session.execute(
        # A dispatch that a crash of PostgreSQL forgets is found by the sweep; it isn't worth waiting for the disk.
        text(
            "SELECT set_config('synchronous_commit', 'off', true),"
            " pg_advisory_xact_lock(hashtextextended('forebay.window.' || :queue, 0))"
        ),
        {"queue": queue},
    )
    view = _view(session, queue, lease_s)
    tickets: list[Ticket] = []
    if view.interactive_waits and view.room:
        tickets += _let_in(session, queue, "interactive", view.room, view.long_room)
    batch_room = min(view.batch_room, view.room - len(tickets))
    if view.batch_waits and batch_room > 0:
        long_room = _view(session, queue, lease_s).long_room if tickets else view.long_room
        tickets += _let_in(session, queue, "batch", batch_room, long_room)
    return tickets


def _let_in(session: Session, queue: str, lane: str, room: int, long_room: int) -> list[Ticket]:
    chosen = _next(session, queue, lane, room, long_room)
    looked_for = {found.tenant_id for found in chosen if found.aged}
    job_ids = _oldest_first(chosen, turns.oldest(session, queue, lane, looked_for))
    # Chosen without its row's lock, it may have been lifted and claimed since: what runs isn't taken back.
    waits = lifecycle.unlocked(Job.id.in_(job_ids), Job.status == Status.QUEUED)
    moved = lifecycle.move(session, Status.DISPATCHED, waits, dispatched_at=func.clock_timestamp())
    turns.note(session, queue, lane, {job.tenant_id: job.tenant_id in looked_for for job in moved})
    still = {job.id for job in moved}
    return [Ticket(job_id, broker.lane(queue, lane)) for job_id in job_ids if job_id in still]


def _next(session: Session, queue: str, lane: str, room: int, long_room: int) -> list[Next]:
    """The jobs that come next, of those in a stage that takes long no more than there is room for."""
    chosen = turns.next_queued(session, queue, lane, room)
    long = [found for found in chosen if found.stage in stages.LONG]
    if len(long) <= long_room:
        return chosen
    short = turns.next_queued(session, queue, lane, room, without=stages.LONG)
    return [*short, *long[:long_room]][:room]


def _oldest_first(chosen: Sequence[Next], oldest: Mapping[uuid.UUID, uuid.UUID]) -> list[uuid.UUID]:
    """The jobs chosen, in each tenant's places first its oldest, where one was found that has waited too long."""
    own = {found.tenant_id: [oldest[found.tenant_id]] if found.tenant_id in oldest else [] for found in chosen}
    for found in chosen:
        if found.job_id not in own[found.tenant_id]:
            own[found.tenant_id].append(found.job_id)
    return [own[found.tenant_id].pop(0) for found in chosen]


def lift(session: Session, queue: str) -> Ticket | None:
    """Sends one batch job by the interactive queue, when none of the queue runs, or was lifted, for `STARVED_S`.

    The workers look into the batch queue only when the interactive one is empty, so where interactive work never ends
    a batch job starts at least every `STARVED_S`, after what is in the interactive queue, which is less than a window.
    The caller holds the sweep's lock, knows that no slot is free, commits, then sends.
    """
    batch = and_(Job.queue == queue, Job.lane == "batch")
    if windows.lifted_within(session, queue, STARVED_S) or session.scalar(
        select(literal(1)).where(batch, Job.status == Status.RUNNING).limit(1)
    ):
        return None
    lifted = _sent_long_ago(session, batch) or _next_long_ago(session, queue)
    if lifted is None:
        return None
    lifecycle.mark_sent(session, [lifted])
    windows.note_lift(session, queue)
    return Ticket(lifted, broker.lane(queue, "interactive"))


def _sent_long_ago(session: Session, batch: ColumnElement[bool]) -> uuid.UUID | None:
    """Of the window's jobs of the batch lane that have waited for `STARVED_S`, the one that was sent first."""
    sent = select(Job.id).where(batch, Job.status == Status.DISPATCHED, jobs.may_start(), jobs.has_waited(STARVED_S))
    return session.scalar(sent.order_by(Job.dispatched_at, Job.id).limit(1))


def _next_long_ago(session: Session, queue: str) -> uuid.UUID | None:
    """Moves the first of those that come next in the batch lane and have waited for `STARVED_S` into the window."""
    next_ids = [found.job_id for found in turns.next_queued(session, queue, "batch", _LIFTABLE)]
    old = set(session.scalars(select(Job.id).where(Job.id.in_(next_ids), jobs.has_waited(STARVED_S))))
    first = next((job_id for job_id in next_ids if job_id in old), None)
    waits = lifecycle.unlocked(Job.id == first, Job.status == Status.QUEUED)
    moved = lifecycle.move(session, Status.DISPATCHED, waits, dispatched_at=func.clock_timestamp())
    turns.note(session, queue, "batch", {job.tenant_id: False for job in moved})
    return moved[0].id if moved else None


def _view(session: Session, queue: str, lease_s: float, besides: uuid.UUID = _NO_JOB) -> View:
    return View(*session.execute(_look(lease_s), {"queue": queue, "besides": besides}).one())


@cache
def _look(lease_s: float) -> Select[Any]:
    """The query for a `View`, built once: it runs with every submission and every end."""
    queue: BindParameter[Any] = bindparam("queue")
    alive = and_(Worker.model == queue, workers.beats(lease_s))
    # What is late takes no room, since nobody starts it.
    dispatched = and_(Job.queue == queue, Job.status == Status.DISPATCHED, jobs.may_start())
    running = and_(Job.queue == queue, Job.status == Status.RUNNING)
    batch_moving = and_(or_(dispatched, running), Job.lane == "batch")
    return select(
        select(func.coalesce(func.sum(Worker.slots), 0)).where(alive).scalar_subquery(),
        select(func.count()).where(dispatched).scalar_subquery(),
        select(func.count()).where(batch_moving).scalar_subquery(),
        select(func.count()).where(or_(dispatched, running), Job.stage.in_(stages.LONG)).scalar_subquery(),
        _anyone_waits(queue, "interactive"),
        _anyone_waits(queue, "batch"),
    )


def _anyone_waits(queue: BindParameter[Any], lane: str) -> ColumnElement[bool]:
    waits = (Job.queue == queue, Job.lane == lane, Job.status == Status.QUEUED, Job.id != bindparam("besides"))
    return select(literal(1)).where(*waits).exists()
