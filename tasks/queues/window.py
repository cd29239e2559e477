"""The window: which waiting jobs are handed to Redis next, and how many."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import func, text
from sqlalchemy.orm import Session

from db import jobs, turns, windows
from db.jobs import Job
from db.turns import Next
from tasks.jobs import lifecycle, stages
from tasks.jobs.lifecycle import Status
from tasks.models.catalog import CONTROL
from tasks.queues import broker

# The longest that batch work stands still behind interactive work: then one job of it goes first.
STARVED_S = 60.0
# So long after an interactive job a slot is still kept free for the next one.
QUIET_S = 5.0
_PROMOTABLE = 200  # so many of those next in turn are looked at for one that has waited so long


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A job that is to be sent, and where."""

    job_id: uuid.UUID
    queue: str


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What a refill decides on: a queue's slots on living workers, the jobs that move there, and whether any wait.

    A job moves when it is dispatched or running. `quiet` says that no interactive job came for a while.
    """

    slots: int
    dispatched: int
    batch_moving: int
    long_moving: int
    interactive_waits: bool
    batch_waits: bool
    quiet: bool = False

    @property
    def room(self) -> int:
        """How many jobs may be dispatched now: none until at most half of the window (two for each slot) is occupied.

        So one refill moves several jobs.
        """
        return 2 * self.slots - self.dispatched if self.dispatched <= self.slots else 0

    @property
    def batch_room(self) -> int:
        """How many of those may be batch jobs. Of several slots one is kept free of them, but in a quiet queue none:
        there as many more are sent ahead, so that the next one begins as soon as one ends.
        """
        most = 2 * self.slots if self.quiet else max(1, self.slots - 1)
        return max(0, min(self.room, most - self.batch_moving))

    @property
    def wants_quiet(self) -> bool:
        """Whether batch jobs could move if the queue were quiet, and not otherwise."""
        ready = self.batch_waits and not self.interactive_waits and self.slots > 0
        return ready and self.batch_room == 0 and replace(self, quiet=True).batch_room > 0

    @property
    def long_room(self) -> int:
        """How many may be in a stage that takes long. Of several slots a quarter is kept free of those.

        So a query finds a slot whatever is ingested beside it.
        """
        return max(0, self.slots - max(self.slots > 1, self.slots // 4) - self.long_moving)

    @property
    def worth_a_refill(self) -> bool:
        return (self.interactive_waits and self.room > 0) or (self.batch_waits and self.batch_room > 0)


def room(lease_s: float) -> str:
    """The condition under which a job goes straight into the window of its queue when it is written down."""
    return windows.room(lease_s, stages.LONG)


def admit(session: Session, job_id: uuid.UUID, queue: str, stage: str, lane: str, lease_s: float) -> WakeUp | None:
    """Lets a job that goes on in another stage straight into that one's window, under the same condition as a new one.

    In the transaction that queued it; the caller commits, then sends the wake-up, or asks for a refill when there is
    none. It takes no lock: jobs of the same moment may overfill the window by their number, which costs nothing.
    """
    admitted = windows.admit(session, job_id, queue, stage, room(lease_s))
    return WakeUp(job_id, broker.lane(queue, lane)) if admitted else None


def refill(session: Session, queue: str, lease_s: float) -> list[WakeUp]:
    """Moves what has room into the window; the caller commits, then sends the wake-ups.

    Call it after each commit that made work, or that made room while jobs wait. It looks without the lock first, and
    leaves it at that when there is no room. No job is forgotten by that: without room more jobs are in the window than
    there are slots, so one of them is claimed only after this look, and whoever claims it is told that jobs wait, and
    asks for another refill (docs/adr/0005).
    """
    if not _look(session, queue, lease_s).worth_a_refill:
        return []
    session.execute(
        # A dispatch that a crash of PostgreSQL forgets is found by the sweep: not worth a wait for the disk (ADR 5).
        text(
            "SELECT set_config('synchronous_commit', 'off', true),"
            " pg_advisory_xact_lock(hashtextextended('forebay.window.' || :queue, 0))"
        ),
        {"queue": queue},
    )
    now = _look(session, queue, lease_s)
    wake_ups: list[WakeUp] = []
    if now.interactive_waits and now.room:
        wake_ups += _let_in(session, queue, "interactive", now.room, now.long_room)
    batch_room = min(now.batch_room, now.room - len(wake_ups))
    if now.batch_waits and batch_room > 0:
        long_room = _look(session, queue, lease_s).long_room if wake_ups else now.long_room
        wake_ups += _let_in(session, queue, "batch", batch_room, long_room)
    return wake_ups


def _let_in(session: Session, queue: str, lane: str, room: int, long_room: int) -> list[WakeUp]:
    chosen = _next(session, queue, lane, room, long_room)
    looked_for = {found.tenant_id for found in chosen if found.aged}
    job_ids = _oldest_first(chosen, turns.oldest(session, queue, lane, looked_for))
    # Chosen without its row's lock, it may have been promoted and claimed since: what runs isn't taken back.
    waits = lifecycle.unlocked(Job.id.in_(job_ids), Job.status == Status.QUEUED)
    # One moment for all of them: which goes first of what one refill sends, their ids say.
    moved = lifecycle.move(session, Status.DISPATCHED, waits, dispatched_at=func.statement_timestamp())
    turns.note(session, queue, lane, {job.tenant_id: job.tenant_id in looked_for for job in moved})
    still = {job.id for job in moved}
    return [WakeUp(job_id, broker.lane(queue, lane)) for job_id in job_ids if job_id in still]


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


def promote_starved(session: Session, queue: str) -> WakeUp | None:
    """Sends a batch job by the interactive queue when no batch job runs, and none was promoted for `STARVED_S`.

    Workers look into the batch queue only when the interactive one is empty. So where interactive work never ends, a
    batch job starts at least every `STARVED_S`: after what is in the interactive queue, which is less than a window
    (docs/adr/0005). The caller holds the sweep's lock, knows that no slot is free, commits, then sends.
    """
    if windows.promoted_within(session, queue, STARVED_S) or windows.batch_runs(session, queue):
        return None
    promoted = windows.starved_in_window(session, queue, STARVED_S) or _next_starved(session, queue)
    if promoted is None:
        return None
    lifecycle.mark_sent(session, [promoted])
    windows.note_promotion(session, queue)
    return WakeUp(promoted, broker.lane(queue, "interactive"))


def _next_starved(session: Session, queue: str) -> uuid.UUID | None:
    """Moves into the window the first of the batch jobs next in turn that has waited for `STARVED_S`."""
    next_ids = [found.job_id for found in turns.next_queued(session, queue, "batch", _PROMOTABLE)]
    old = jobs.waited_for(session, next_ids, STARVED_S)
    first = next((job_id for job_id in next_ids if job_id in old), None)
    waits = lifecycle.unlocked(Job.id == first, Job.status == Status.QUEUED)
    moved = lifecycle.move(session, Status.DISPATCHED, waits, dispatched_at=func.statement_timestamp())
    turns.note(session, queue, "batch", {job.tenant_id: False for job in moved})
    return moved[0].id if moved else None


def promoted_lately(session: Session, queue: str) -> bool:
    """Whether a batch job went ahead of interactive ones within the last `STARVED_S`."""
    return windows.promoted_within(session, queue, STARVED_S)


def _look(session: Session, queue: str, lease_s: float) -> Occupancy:
    """Where jobs take their turns at nothing but a processor, no slot is lent: what runs there can't be stopped."""
    now = Occupancy(*windows.look(session, queue, lease_s, stages.LONG))
    if queue == CONTROL or not now.wants_quiet:
        return now
    return replace(now, quiet=windows.is_quiet(session, queue, QUIET_S))
