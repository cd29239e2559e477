"""Workers: one row a process, kept alive by its heartbeat."""

import datetime as dt
import uuid
from dataclasses import dataclass

from sqlalchemy import ColumnElement, DateTime, Float, Integer, Text, and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db import model_changes
from db.session import Table, alone

_BEAT = """
UPDATE workers SET beat_at = now(), slots = %(slots)s, free = %(free)s, job_s = %(job_s)s WHERE id = %(id)s RETURNING id
"""
_BEAT_AND_LOOK = f"""
WITH beaten AS ({_BEAT})
SELECT jobs.id AS job_id, jobs.attempt
FROM beaten LEFT JOIN jobs ON jobs.worker_id = beaten.id AND jobs.status = 'running'
"""


class Worker(Table):
    """A worker's row; `queue` is None where it takes jobs from none. `identity` is what its answers are made by: it is
    another where the model of that name was replaced, and None where there is none."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    queue: Mapped[str | None] = mapped_column(Text)
    slots: Mapped[int] = mapped_column(Integer)
    free: Mapped[int] = mapped_column(Integer)
    job_s: Mapped[float | None] = mapped_column(Float)
    beat_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    identity: Mapped[str | None] = mapped_column(Text)


def beats(lease_s: float) -> ColumnElement[bool]:
    """The condition that a worker's last heartbeat is within the lease, by the database's clock.

    A heartbeat of the future was written before the clock was set back, and proves nothing.
    """
    lease = dt.timedelta(seconds=lease_s)
    return and_(Worker.beat_at > func.now() - lease, Worker.beat_at < func.now() + lease)


def register(session: Session, *, worker_id: str, queue: str | None, slots: int, identity: str | None = None) -> None:
    """Enters the worker, or enters it anew; and that its model was replaced, where it was."""
    values = {"queue": queue, "slots": slots, "free": slots, "beat_at": func.now(), "identity": identity}
    statement = insert(Worker).values(id=worker_id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
    if queue is not None and identity is not None:
        model_changes.note(session, queue, identity)


def identities(session: Session, lease_s: float) -> dict[str, str]:
    """By queue what its answers are made by, where all its living workers say the same."""
    one = (func.count() == func.count(Worker.identity), func.count(Worker.identity.distinct()) == 1)
    told = select(Worker.queue, func.max(Worker.identity)).where(Worker.queue.is_not(None), beats(lease_s))
    rows = session.execute(told.group_by(Worker.queue).having(and_(*one)))
    return {str(queue): str(identity) for queue, identity in rows}


def beat(session: Session, *, worker_id: str, slots: int, free: int, job_s: float | None) -> bool:
    """Renews the lease, in a transaction of its own. False when the row is gone and the worker must register again."""
    return bool(alone(session)(_BEAT, {"id": worker_id, "slots": slots, "free": free, "job_s": job_s}))


def beat_and_look(
    session: Session, *, worker_id: str, slots: int, free: int, job_s: float | None
) -> set[tuple[uuid.UUID, int]] | None:
    """`beat`, and in the same statement which attempts (job, number) run with the worker by PostgreSQL's account.

    None when the row is gone. It fails while the table of jobs is locked.
    """
    values = {"id": worker_id, "slots": slots, "free": free, "job_s": job_s}
    found = alone(session)(_BEAT_AND_LOOK, values)
    return {(row["job_id"], row["attempt"]) for row in found if row["job_id"]} if found else None


def remove(session: Session, worker_id: str) -> None:
    session.execute(delete(Worker).where(Worker.id == worker_id))


def remove_silent_since(session: Session, silent_s: float) -> None:
    """Forgets workers whose last heartbeat is older than that."""
    session.execute(delete(Worker).where(silent_since(silent_s)))


def silent_since(silent_s: float) -> ColumnElement[bool]:
    """The condition that a worker's last heartbeat is older than that."""
    return Worker.beat_at < func.now() - dt.timedelta(seconds=silent_s)


@dataclass(frozen=True, slots=True)
class Strength:
    """What the living workers of a queue can do together; `job_s` is their mean seconds a job, None before any."""

    workers: int
    slots: int
    free: int
    job_s: float | None


def strength(session: Session, queue: str, lease_s: float) -> Strength:
    return strengths(session, lease_s).get(queue, Strength(0, 0, 0, None))


def strengths(session: Session, lease_s: float) -> dict[str, Strength]:
    """The living workers summed by queue; a queue without any is absent."""
    alive = and_(Worker.queue.is_not(None), beats(lease_s))
    sums = (func.count(), func.sum(Worker.slots), func.sum(Worker.free), func.avg(Worker.job_s))
    rows = session.execute(select(Worker.queue, *sums).where(alive).group_by(Worker.queue))
    return {queue: Strength(int(n), int(slots), int(free), job_s) for queue, n, slots, free, job_s in rows}
