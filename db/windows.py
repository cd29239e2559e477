"""Windows: which jobs of a queue are in Redis or run, and what is remembered beside them."""

import datetime as dt
import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    DateTime,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from db import jobs, workers
from db.jobs import Job
from db.session import Table, as_sql, within
from db.workers import Worker

_ENDED = 2000


class Window(Table):
    """A queue's window; `promoted_at` is when a starved batch job last went ahead of interactive ones."""

    __tablename__ = "windows"

    queue: Mapped[str] = mapped_column(Text, primary_key=True)
    promoted_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))


def promoted_within(session: Session, queue: str, seconds: float) -> bool:
    """Whether a batch job of the queue was promoted in the last so many seconds, by the database's clock."""
    recent = Window.promoted_at > func.now() - dt.timedelta(seconds=seconds)
    return session.scalar(select(Window.queue).where(Window.queue == queue, recent)) is not None


def note_promotion(session: Session, queue: str) -> None:
    values = {"promoted_at": func.now()}
    statement = insert(Window).values(queue=queue, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["queue"], set_=values))


def batch_runs(session: Session, queue: str) -> bool:
    running = (Job.queue == queue, Job.lane == "batch", Job.status == "running")
    return session.scalar(select(literal(1)).where(*running).limit(1)) is not None


def is_quiet(session: Session, queue: str, seconds: float) -> bool:
    """Whether no interactive job moves in the queue, and none is among the jobs that ended in the last so many seconds.

    A job whose first child ran there counts too: one that asked for several answers ends elsewhere. The last `_ENDED`
    are looked at, however many there are.
    """
    then = func.now() - dt.timedelta(seconds=seconds)
    ended = select(Job.id, Job.queue, Job.lane).where(Job.parent_id.is_(None), Job.finished_at > then)
    lately = ended.order_by(Job.finished_at.desc()).limit(_ENDED).subquery()
    child = aliased(Job)
    ran_here = (child.parent_id == lately.c.id, child.place == 0, child.queue == queue)
    here = or_(lately.c.queue == queue, select(literal(1)).where(*ran_here).correlate(lately).exists())
    came = select(literal(1)).where(lately.c.lane == "interactive", here)
    moving = select(literal(1)).where(Job.queue == queue, Job.status.in_(jobs.MOVING), Job.lane == "interactive")
    return bool(session.scalar(select(and_(~moving.exists(), ~came.exists()))))


def sent_before(session: Session, seconds: float) -> Sequence[Row[uuid.UUID, str, str]]:
    """Id, queue and lane of the jobs whose message was sent so long ago and that nobody claimed, the oldest first."""
    return session.execute(sent_long_ago(seconds).order_by(Job.dispatched_at)).all()


def sent_long_ago(seconds: float) -> Select[uuid.UUID, str, str]:
    """The query for id, queue and lane of those."""
    then = func.clock_timestamp() - dt.timedelta(seconds=seconds)
    return select(Job.id, Job.queue, Job.lane).where(_waits_for_a_worker(), Job.dispatched_at <= then)


def starved_in_window(session: Session, queue: str, seconds: float) -> uuid.UUID | None:
    """Of the window's batch jobs that have waited for so long, the one that was sent first."""
    starved = (Job.queue == queue, Job.lane == "batch", _waits_for_a_worker(), jobs.has_waited(seconds))
    return session.scalar(select(Job.id).where(*starved).order_by(Job.dispatched_at, Job.id).limit(1))


def look(
    session: Session, queue: str, lease_s: float, long_stages: tuple[str, ...]
) -> Row[int, int, int, int, bool, bool]:
    """The slots of the queue's living workers; how many jobs are in Redis, how many batch jobs move, how many jobs
    move in a stage that takes long; whether an interactive job waits in PostgreSQL, and a batch job.
    """
    return session.execute(_look(lease_s, long_stages), {"queue": queue}).one()


@cache
def _look(lease_s: float, long_stages: tuple[str, ...]) -> Select[Any]:
    """Built once: it runs again and again while jobs wait."""
    queue: BindParameter[Any] = bindparam("queue")
    alive = and_(Worker.queue == queue, workers.beats(lease_s))
    in_redis = and_(Job.queue == queue, _waits_for_a_worker())
    moving = and_(Job.queue == queue, _moves())
    return select(
        select(func.coalesce(func.sum(Worker.slots), 0)).where(alive).scalar_subquery(),
        select(func.count()).where(in_redis).scalar_subquery(),
        select(func.count()).where(and_(moving, Job.lane == "batch")).scalar_subquery(),
        select(func.count()).where(moving, Job.stage.in_(long_stages)).scalar_subquery(),
        _anyone_waits(queue, "interactive"),
        _anyone_waits(queue, "batch"),
    )


def _waits_for_a_worker() -> ColumnElement[bool]:
    """The condition that a job is dispatched; what is late takes no room, since nobody starts it."""
    return and_(Job.status == "dispatched", jobs.may_start())


def _moves() -> ColumnElement[bool]:
    """The condition that a job waits for a worker or has one."""
    return or_(_waits_for_a_worker(), Job.status == "running")


def _anyone_waits(queue: BindParameter[Any], lane: str) -> ColumnElement[bool]:
    waits = (Job.queue == queue, Job.lane == lane, Job.status == "queued")
    return select(literal(1)).where(*waits).exists()


@cache
def room(lease_s: float, long_stages: tuple[str, ...]) -> str:
    """The condition, as text, that an interactive job may go straight into its queue's window: nobody waits before it,
    and there is room, for its stage too if that takes long. Its parameters are the job's `queue`, `stage` and `id`.
    """
    long = "ARRAY[" + ", ".join(f"'{stage}'" for stage in long_stages) + "]"
    here = "SELECT count(*) FROM jobs WHERE queue = %(queue)s"
    return f"""(
    SELECT NOT EXISTS (SELECT FROM jobs
            WHERE queue = %(queue)s AND lane = 'interactive' AND status = 'queued' AND id <> %(id)s)
        AND ({here} AND {as_sql(_waits_for_a_worker())}) < 2 * w.slots
        AND (%(stage)s::text <> ALL ({long})
            OR ({here} AND {as_sql(_moves())} AND stage = ANY ({long}))
                < w.slots - greatest((w.slots > 1)::int, w.slots / 4))
    FROM (SELECT coalesce(sum(slots), 0) AS slots FROM workers
        WHERE queue = %(queue)s AND {as_sql(workers.beats(lease_s))}) AS w
)"""


def admit(session: Session, job_id: uuid.UUID, queue: str, stage: str, room: str) -> bool:
    """Moves a queued interactive job into its queue's window, where it has `room`. Nobody is kept from doing so too."""
    values = {"id": job_id, "queue": queue, "stage": stage}
    return bool(within(session)(_admit(room), values))


@cache
def _admit(room: str) -> str:
    return f"""
UPDATE jobs SET status = 'dispatched', dispatched_at = clock_timestamp()
WHERE id = %(id)s AND lane = 'interactive' AND status = 'queued' AND {as_sql(jobs.may_start())} AND {room} RETURNING id
"""
