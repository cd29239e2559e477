"""Jobs: a row each, with what went in; what came out is in a table beside it.

The tables of jobs name each other without foreign keys, which every job would pay for; the sweep looks for rows whose
job is gone (`db.strays`).
"""

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    CheckConstraint,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    Select,
    SmallInteger,
    Text,
    and_,
    bindparam,
    func,
    literal,
    not_,
    or_,
    select,
    text,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from db import checkpoints, workers
from db.session import Table
from db.tenants import is_suspended
from db.workers import Worker

LANES = ("interactive", "batch")

# In the window, or with a worker: never many, and found by `jobs_moving`.
MOVING = ("dispatched", "running")


class Job(Table):
    """One job. `attempt` fences: what carries an older number than the row's may not write any more.

    `queue` is where its present stage waits and runs: a model's name, or `control`. `model` is the one the client asked
    for. `run_at` is what the client said, `due_at` is when a scheduled job is queued. `chances` is how many attempts
    may be lost, or fail by the system's fault, before the job fails. `parent_id` is the job this one is a child of,
    `place` its line or choice there, `label` the client's name for it. `key_id` is the key that asked, `request_id`
    the request. `webhook` is where its end is to be told, beside the tenant's endpoints: `url` and `events`.
    `input` and `params` are what the client asked for, as it was accepted; `stage_input` is what an earlier stage left
    for the next. These three are loaded only when they are read. `attempt_started_at` is when the newest attempt began:
    until that ends, nothing else says so. `store` False has what went in and what came out erased once it has been
    answered, True lists it among the stored completions; None is for all who look at jobs. `conversation_id` is where
    what was said is put when it ends.
    """

    __tablename__ = "jobs"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    key_id: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    parent_id: Mapped[uuid.UUID | None]
    place: Mapped[int | None] = mapped_column(Integer)
    label: Mapped[str | None] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    stage: Mapped[str] = mapped_column(Text)
    queue: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    lane: Mapped[str] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(SmallInteger)
    attempt: Mapped[int] = mapped_column(Integer, server_default="0")
    crashes: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    seed: Mapped[int] = mapped_column(Integer)
    worker_id: Mapped[str | None] = mapped_column(Text)
    progress_done: Mapped[int | None] = mapped_column(Integer)
    progress_total: Mapped[int | None] = mapped_column(Integer)
    prompt_tokens: Mapped[int | None] = mapped_column(Integer)
    completion_tokens: Mapped[int | None] = mapped_column(Integer)
    embedding_tokens: Mapped[int | None] = mapped_column(Integer)
    cached_tokens: Mapped[int | None] = mapped_column(Integer)
    error_code: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[dict[str, str]] = mapped_column("metadata", JSON)
    webhook: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    dispatched_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    started_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    first_token_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    run_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    deadline_s: Mapped[int | None] = mapped_column(Integer)
    retry_of: Mapped[uuid.UUID | None]
    chances: Mapped[int] = mapped_column(SmallInteger, server_default="3")
    attempt_started_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    store: Mapped[bool | None]
    conversation_id: Mapped[uuid.UUID | None]
    input: Mapped[dict[str, Any]] = mapped_column(JSON, deferred=True)
    params: Mapped[dict[str, Any]] = mapped_column(JSON, deferred=True)
    stage_input: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), deferred=True)

    __table_args__ = (
        CheckConstraint("lane IN ('interactive', 'batch')", name="jobs_lane"),
        CheckConstraint("priority BETWEEN 0 AND 9", name="jobs_priority"),
        # `listing.page`. Without those that move a job that need not wait comes into it once, when it has ended.
        Index(
            "jobs_listed",
            "tenant_id",
            "status",
            "type",
            "model",
            "id",
            postgresql_where=and_(text("parent_id IS NULL"), status.not_in(MOVING)),
        ),
        Index(
            "jobs_queued",
            "queue",
            "lane",
            "tenant_id",
            priority.desc(),
            "id",
            postgresql_where=status == "queued",
        ),
        Index("jobs_moving", "queue", "status", "lane", postgresql_where=status.in_(MOVING)),
        # One child in each place, however often its parent's stage is repeated; `families.counts`.
        Index("jobs_of_parent", "parent_id", "place", unique=True, postgresql_where=text("parent_id IS NOT NULL")),
        # `families.no_child_left`, with every end of a child; and `families.bereft`.
        Index(
            "jobs_unfinished_children",
            "parent_id",
            postgresql_where=text("parent_id IS NOT NULL AND finished_at IS NULL"),
        ),
        Index(
            "jobs_to_erase", "finished_at", postgresql_where=text("store IS FALSE AND finished_at IS NOT NULL")
        ),  # `unstored`
        # `removing.due`. A job that ends comes into it once, with the other indexes of those that rest.
        Index("jobs_ended", "finished_at", postgresql_where=text("parent_id IS NULL AND finished_at IS NOT NULL")),
        Index("jobs_stored", "tenant_id", "id", postgresql_where=text("store")),  # `listing.stored`
        Index("jobs_waiting", "id", postgresql_where=status == "waiting"),  # `families.ready`
        Index("jobs_scheduled", "tenant_id", "due_at", postgresql_where=status == "scheduled"),
        Index(
            "jobs_expiring",
            "tenant_id",
            "expires_at",
            postgresql_where=and_(expires_at.is_not(None), started_at.is_(None), finished_at.is_(None)),
        ),
        Index(
            "jobs_with_deadline",
            "tenant_id",
            "started_at",
            postgresql_where=and_(deadline_s.is_not(None), started_at.is_not(None), finished_at.is_(None)),
        ),
    )


# Which jobs have a time to be kept: what `jobs_expiring` and `jobs_with_deadline` hold.
EXPIRES = and_(Job.expires_at.is_not(None), Job.started_at.is_(None), Job.finished_at.is_(None))
HAS_DEADLINE = and_(Job.deadline_s.is_not(None), Job.started_at.is_not(None), Job.finished_at.is_(None))


@cache
def may_start() -> ColumnElement[bool]:
    """The condition that a job's time to start hasn't passed, that it has some time left to run, that it isn't a child
    whose parent has ended, and that its tenant isn't suspended.

    Built once: every claim asks it, and an alias costs a millisecond.
    """
    clock = func.clock_timestamp()
    in_time = or_(Job.expires_at.is_(None), Job.started_at.is_not(None), Job.expires_at > clock)
    has_time = or_(Job.deadline_s.is_(None), Job.started_at.is_(None), _deadline_at() > clock)
    parent = aliased(Job)
    over = select(literal(1)).where(parent.id == Job.parent_id, parent.finished_at.is_not(None)).correlate(Job)
    return and_(in_time, has_time, or_(Job.parent_id.is_(None), not_(over.exists())), ~is_suspended(Job.tenant_id))


def is_late() -> ColumnElement[bool]:
    """The condition that a job hasn't started in time."""
    return and_(EXPIRES, Job.expires_at <= func.now())


def is_overdue() -> ColumnElement[bool]:
    """The condition that a job has been running for longer than it may."""
    return and_(HAS_DEADLINE, _deadline_at() <= func.now())


def is_orphaned(lease_s: float) -> ColumnElement[bool]:
    """The condition that a job runs, and its worker's lease ran out."""
    alive = select(Worker.id).where(workers.beats(lease_s))
    return and_(Job.status == "running", Job.worker_id.not_in(alive))


def has_waited(seconds: float) -> ColumnElement[bool]:
    """The condition that so long ago a job was there already, and its time had come."""
    return waits_since() < func.now() - dt.timedelta(seconds=seconds)


def waits_since() -> ColumnElement[dt.datetime]:
    """When the job was there and its time had come."""
    return func.coalesce(Job.due_at, Job.created_at)


def _deadline_at() -> ColumnElement[dt.datetime | None]:
    return Job.started_at + func.make_interval(0, 0, 0, 0, 0, 0, Job.deadline_s)


class JobOutput(Table):
    """What came out: the whole when the job has ended, or when an attempt handed it on (`JobCheckpoint` has the rest).

    `entries` are the numbered events of the job's stream from 1 on, so that a lost stream is replayed as it was;
    `token_ids` are the ids of the leading tokens from which a greedy run can be continued; `result` is set at the end.
    """

    __tablename__ = "job_outputs"

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    entries: Mapped[list[Any]] = mapped_column(JSON)
    token_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


def save_output(
    session: Session,
    job_id: uuid.UUID,
    *,
    entries: list[Any],
    token_ids: list[int],
    result: dict[str, Any] | None = None,
) -> None:
    """Writes the output whole, in place of all that was kept. The caller has fenced the attempt in this transaction."""
    values = {"job_id": job_id, "entries": entries, "token_ids": token_ids, "result": result}
    session.execute(_save(), values | {"kept_of": job_id})


def save_no_output(session: Session, job_ids: Collection[uuid.UUID]) -> None:
    """Writes that nothing came out of these jobs, which have no output yet."""
    if not job_ids:
        return
    nothing = (literal([], JSON), literal([], ARRAY(Integer)))
    rows = select(Job.id, *nothing).where(Job.id.in_(job_ids))
    session.execute(insert(JobOutput).from_select(["job_id", "entries", "token_ids"], rows))


@cache
def _save() -> Insert:
    table = JobOutput.__table__
    assert isinstance(table, SqlTable)
    statement = insert(table)
    columns = {name: statement.excluded[name] for name in ("entries", "token_ids", "result")}
    statement = statement.on_conflict_do_update(index_elements=["job_id"], set_=columns)
    return statement.add_cte(checkpoints.dropped(bindparam("kept_of")).cte("dropped"))


def in_background(session: Session, job_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these responses were asked for in the background."""
    asked = Job.input["said", "background"].as_boolean()
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), asked)))


def waited_for(session: Session, job_ids: Collection[uuid.UUID], seconds: float) -> set[uuid.UUID]:
    """Which of these jobs have waited for so long."""
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), has_waited(seconds))))


def of_tenant(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> tuple[Job, JobOutput | None] | None:
    """The job with its output, if it is this tenant's."""
    outer = select(Job, JobOutput).outerjoin(JobOutput, JobOutput.job_id == Job.id)
    row = session.execute(outer.where(Job.id == job_id, Job.tenant_id == tenant_id)).one_or_none()
    return (row[0], row[1]) if row else None


def asked(session: Session, job_id: uuid.UUID, names: Sequence[str]) -> dict[str, Any]:
    """These members of what went in; None for one that isn't there. The others aren't fetched."""
    row = session.execute(select(*(Job.input[name] for name in names)).where(Job.id == job_id)).one()
    return dict(zip(names, row, strict=True))


def status(session: Session, job_id: uuid.UUID) -> tuple[str, str | None] | None:
    """How the job stands, and the code of its error if it has one; None where there is no such job."""
    row = session.execute(select(Job.status, Job.error_code).where(Job.id == job_id)).one_or_none()
    return (row[0], row[1]) if row else None


def unlocked(session: Session, *which: ColumnElement[bool], limit: int | None = None) -> Sequence[Job]:
    """The jobs that match, locked until the transaction ends; without those that others hold."""
    rows = select(Job).where(*which).limit(limit)
    return session.scalars(rows.with_for_update(skip_locked=True, key_share=True)).all()


def so_far(session: Session, job_id: uuid.UUID) -> tuple[JobOutput | None, list[list[Any]] | None]:
    """What is kept of a job that hasn't ended: what it was handed on with, and the pieces of its checkpoint."""
    query = select(JobOutput, checkpoints.kept(Job.id)).select_from(Job)
    row = session.execute(query.outerjoin(JobOutput, JobOutput.job_id == Job.id).where(Job.id == job_id)).one_or_none()
    return (row[0], row[1]) if row else (None, None)


def waits_for(queue: str) -> ColumnElement[bool]:
    """The condition that a job's present stage waits in this queue: for its time, its turn, or a worker.

    Each status by itself, since each has an index of its own.
    """
    statuses = ("scheduled", "queued", "dispatched")
    return or_(*(and_(Job.queue == queue, Job.status == status) for status in statuses))


def waiting_and_running(session: Session, queue: str) -> tuple[int, int]:
    """How many jobs wait in the queue, and how many run from it."""
    running = and_(Job.queue == queue, Job.status == "running")
    counts = [
        select(func.count()).select_from(Job).where(which).scalar_subquery() for which in (waits_for(queue), running)
    ]
    waiting, runs = session.execute(select(*counts)).one()
    return int(waiting), int(runs)


def queues_waiting(session: Session) -> list[str]:
    """The queues in which a job waits in PostgreSQL: one index probe each, however many jobs wait."""
    probe = select(Job.queue).where(Job.status == "queued").order_by(Job.queue).limit(1)
    steps = select(probe.scalar_subquery().label("queue")).cte("steps", recursive=True)
    following = probe.where(Job.queue > steps.c.queue).scalar_subquery()
    steps = steps.union_all(select(following).where(steps.c.queue.is_not(None)))
    return list(session.scalars(select(steps.c.queue).where(steps.c.queue.is_not(None))))


def unserved(session: Session, served: Collection[str], cap: int) -> dict[str, int]:
    """How many jobs wait in each queue that isn't among `served`.

    Queued ones are counted to `cap` a queue, by `jobs_queued`; of the scheduled ones `cap` are looked at, by
    `jobs_scheduled`; the dispatched ones are few, by `jobs_moving`.
    """
    counts = Counter[str]()
    for queue in set(queues_waiting(session)).difference(served):
        counts[queue] = count(session, select(literal(1)).where(Job.queue == queue, Job.status == "queued"), cap)
    scheduled = select(Job.queue).where(Job.status == "scheduled").limit(cap)
    for waiting in (select(Job.queue).where(Job.status == "dispatched"), scheduled):
        rows = waiting.subquery()
        grouped = select(rows.c.queue, func.count()).where(rows.c.queue.not_in(served)).group_by(rows.c.queue)
        for queue, number in session.execute(grouped):
            counts[queue] += number
    return dict(counts)


def count(session: Session, rows: Select[Any], cap: int) -> int:
    """How many rows there are, counted to `cap`."""
    return session.scalar(select(func.count()).select_from(rows.limit(cap).subquery())) or 0


def ended(session: Session, job_ids: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Which of these jobs have ended, or are gone."""
    where = and_(Job.id.in_(job_ids), Job.finished_at.is_(None))
    alive = set(session.scalars(select(Job.id).where(where)))
    return [job_id for job_id in job_ids if job_id not in alive]
