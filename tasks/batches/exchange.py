"""Which line of a batch runs in the turn of another, so that lines that begin alike run in one slot (docs/adr/0030).

A turn in the window is its batch's: of the batch's lines that wait, the worker may run whichever it likes.
"""

import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import func, text
from sqlalchemy.orm import Session

from db import groups
from db.groups import Where
from db.jobs import Job
from tasks import ids
from tasks.jobs import lifecycle
from tasks.jobs.lifecycle import Status


def exchange(session: Session, line: uuid.UUID, kept: Sequence[bytes], begun: Collection[bytes]) -> uuid.UUID:
    """The line that is to run in this one's turn: another of its batch and queue, which is in the window then in its
    stead, or itself. The caller commits, and asks for a refill where it is another.

    `kept` are the groups (`ids.group_of`) whose beginning the worker's free slots have, the best first, and `begun`
    those that run there or are about to. It is a line of a group that is kept. Where none of those waits, it is one of
    a group that doesn't run anywhere yet: so one slot has a group for itself, while there are more of them.
    """
    where = groups.dispatched(session, line)
    if where is None:
        return line
    found = next((one for group in kept if (one := _first(session, where, group))), None)
    found = found or _of_new_group(session, where, line, begun)
    if found is None or found == line or not _take_turn(session, line, found):
        return line
    return found


def _first(session: Session, where: Where, group: bytes) -> uuid.UUID | None:
    return groups.first_waiting(session, where, ids.between(group))


def _of_new_group(session: Session, where: Where, line: uuid.UUID, begun: Collection[bytes]) -> uuid.UUID | None:
    """The first line of the groups after all that run; None where the line's own group doesn't run."""
    first, last = ids.between(ids.batch_of(line))
    run = {ids.group_of(each) for each in groups.running(session, where, (first, last))} | set(begun)
    if ids.group_of(line) not in run:
        return None
    after = ids.between(max(run))[1]
    return groups.first_waiting(session, where, (after, last))


def _take_turn(session: Session, line: uuid.UUID, other: uuid.UUID) -> bool:
    """Puts the line back into its queue, and the other one into the window; False where somebody else has either.

    What a crash of PostgreSQL forgets of that, the other line's claim, which is written after it, is forgotten with: it
    isn't worth a wait for the disk.
    """
    session.execute(text("SELECT set_config('synchronous_commit', 'off', true)"))
    found = groups.locked(session, (line, other))
    if found.get(line) != Status.DISPATCHED or found.get(other) not in (Status.QUEUED, Status.DISPATCHED):
        return False
    lifecycle.move_many(session, Status.QUEUED, Job.id == line)
    if found[other] == Status.QUEUED:
        lifecycle.move_many(session, Status.DISPATCHED, Job.id == other, dispatched_at=func.statement_timestamp())
    return True
