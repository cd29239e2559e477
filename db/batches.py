"""Batches: what there is to know of each beyond its job; and its lines, which are that job's children."""

import datetime as dt
import operator
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, cast

from sqlalchemy import (
    JSON,
    ColumnElement,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Select,
    Text,
    and_,
    case,
    func,
    literal,
    not_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column, undefer

from db import twins
from db.jobs import Job, JobOutput
from db.session import Table
from db.twins import BatchTwin
from db.vectors import JobVectors


class Batch(Table):
    """A batch. It ends for one reason, `ending`: `completed`, `failed`, `cancelled` or `expired`; set once, when it is
    known, and from then on none of its lines begins. `ended_at` is set when its files are written.

    `lines` is how many it has, once they are all found to be right; `model` is theirs, where they have one.
    `output_kept_s` is for how many seconds its files are wanted. `full_from` is the place of the first line that had no
    room in the output file. `totals` are its counts and what it used, at its end.
    """

    __tablename__ = "batches"
    __table_args__ = (
        Index("batches_listed", "tenant_id", "job_id"),  # `page`
        Index("batches_expiring", "expires_at", postgresql_where=text("ending IS NULL")),  # `late`
        Index("batches_ending", "job_id", postgresql_where=text("ending IS NOT NULL AND ended_at IS NULL")),  # `stuck`
    )

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    endpoint: Mapped[str] = mapped_column(Text)
    input_file_id: Mapped[uuid.UUID]
    completion_window: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    output_kept_s: Mapped[int | None] = mapped_column(Integer)
    lines: Mapped[int] = mapped_column(Integer, server_default="0")
    model: Mapped[str | None] = mapped_column(Text)
    errors: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    ending: Mapped[str | None] = mapped_column(Text)
    in_progress_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    ending_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    finalizing_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    output_file_id: Mapped[uuid.UUID | None]
    error_file_id: Mapped[uuid.UUID | None]
    full_from: Mapped[int | None] = mapped_column(Integer)
    totals: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


def add(session: Session, batch: Batch, window_s: int) -> None:
    """Notes the batch, which expires so many seconds after now, by PostgreSQL's clock."""
    batch.expires_at = func.now() + dt.timedelta(seconds=window_s)
    session.add(batch)
    session.flush()


def find(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, *, lock: bool = False) -> tuple[Batch, Job] | None:
    """The tenant's batch with its job; `lock` has others wait who would move the job.

    It locks the job alone: whoever writes to a batch has locked its job before.
    """
    query = select(Batch, Job).join(Job, Job.id == Batch.job_id)
    query = query.where(Batch.job_id == job_id, Batch.tenant_id == tenant_id)
    row = session.execute(query.with_for_update(of=Job, key_share=True) if lock else query).one_or_none()
    return (row[0], row[1]) if row else None


def of_job(session: Session, job_id: uuid.UUID) -> Batch:
    """The batch of a job of that kind."""
    return session.get_one(Batch, job_id, populate_existing=True)


def page(
    session: Session, tenant_id: uuid.UUID, *, limit: int, after: uuid.UUID | None = None
) -> list[tuple[Batch, Job]]:
    """The tenant's batches with their jobs, the newest first, at most `limit` of those older than `after`."""
    query = select(Batch, Job).join(Job, Job.id == Batch.job_id).where(Batch.tenant_id == tenant_id)
    if after is not None:
        query = query.where(Batch.job_id < after)
    return [(batch, job) for batch, job in session.execute(query.order_by(Batch.job_id.desc()).limit(limit))]


def page_for(
    session: Session,
    tenant_id: uuid.UUID,
    endpoint: str,
    *,
    limit: int,
    after: uuid.UUID | None = None,
    before: uuid.UUID | None = None,
) -> list[tuple[Batch, Job]]:
    """Those of the tenant's batches that are for this endpoint, with their jobs, the newest first, at most `limit`: the
    newest that are older than `after`; or, where `before` is given, the oldest that are newer than that."""
    query = select(Batch, Job).join(Job, Job.id == Batch.job_id)
    query = query.where(Batch.tenant_id == tenant_id, Batch.endpoint == endpoint)
    if after is not None:
        query = query.where(Batch.job_id < after)
    if before is not None:
        query = query.where(Batch.job_id > before)
    order = Batch.job_id.desc() if before is None else Batch.job_id
    found = [(batch, job) for batch, job in session.execute(query.order_by(order).limit(limit))]
    return found if before is None else found[::-1]


def of_file(session: Session, tenant_id: uuid.UUID, file_id: uuid.UUID) -> list[uuid.UUID]:
    """The tenant's batches that are of this file, at most two of them."""
    query = select(Batch.job_id).where(Batch.tenant_id == tenant_id, Batch.input_file_id == file_id)
    return list(session.scalars(query.limit(2)))


def endings(session: Session, job_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """How those of these batches have ended whose files are written, by their jobs."""
    query = select(Batch.job_id, Batch.ending).where(Batch.job_id.in_(job_ids), Batch.ended_at.is_not(None))
    return {job_id: ending for job_id, ending in session.execute(query) if ending is not None}


def end(session: Session, job_ids: Collection[uuid.UUID], ending: str) -> list[uuid.UUID]:
    """Notes why these batches end, where nothing was noted yet; of which it now is."""
    which = (Batch.job_id.in_(job_ids), Batch.ending.is_(None))
    noted = update(Batch).where(*which).values(ending=ending, ending_at=func.clock_timestamp())
    return list(session.scalars(noted.returning(Batch.job_id), execution_options={"synchronize_session": False}))


def note(session: Session, job_id: uuid.UUID, **values: Any) -> None:
    """Writes these columns of the batch's row."""
    session.execute(
        update(Batch).where(Batch.job_id == job_id).values(**values), execution_options={"synchronize_session": False}
    )


def late(limit: int) -> Select[uuid.UUID]:
    """The query for batches whose window has ended before them."""
    return select(Batch.job_id).where(Batch.ending.is_(None), Batch.expires_at <= func.now()).limit(limit)


def stuck(limit: int) -> Select[uuid.UUID]:
    """The query for batches that are to end while their jobs wait for lines."""
    waits = and_(Job.id == Batch.job_id, Job.status == "waiting")
    return select(Batch.job_id).join(Job, waits).where(Batch.ending.is_not(None), Batch.ended_at.is_(None)).limit(limit)


def locked(session: Session, found: Select[uuid.UUID]) -> Sequence[uuid.UUID]:
    """Those batches, locked with their jobs until the transaction ends; none that others hold."""
    ids = select(Job.id).where(Job.id.in_(found)).order_by(Job.id)
    return session.scalars(ids.with_for_update(skip_locked=True, key_share=True)).all()


def counts(
    session: Session, job_ids: Collection[uuid.UUID]
) -> dict[uuid.UUID, list[tuple[str, int, Mapping[str, int]]]]:
    """By batch: of each status how many lines have it, and what these have spent. What the children of lines that ask
    for several answers have spent is told beside that, of no line and no status."""
    columns = (Job.parent_id, Job.status, func.count(), *_spent(Job))
    query = select(*columns).where(Job.parent_id.in_(job_ids)).group_by(Job.parent_id, Job.status)
    found: dict[uuid.UUID, list[tuple[str, int, Mapping[str, int]]]] = {}
    for row in session.execute(query):
        batch_id, status, number, *sums = cast(tuple[Any, ...], row)
        found.setdefault(batch_id, []).append((status, int(number), _named(sums)))
    for batch_id, status, number in twins.counts(session, job_ids):  # they cost nothing of their own
        found.setdefault(batch_id, []).append((status, number, dict.fromkeys(_SPENT, 0)))
    for batch_id, *sums in _spent_below(session, job_ids):
        found.setdefault(batch_id, []).append(("", 0, _named(sums)))
    return found


def _spent_below(session: Session, job_ids: Collection[uuid.UUID]) -> Sequence[Any]:
    """By batch: what the children of its lines have spent."""
    line, child = aliased(Job), aliased(Job)
    query = select(line.parent_id, *_spent(child)).select_from(line).join(child, child.parent_id == line.id)
    which = (line.parent_id.in_(job_ids), line.stage.in_(_SEVERAL))
    return session.execute(query.where(*which).group_by(line.parent_id)).all()


_SPENT = ("prompt", "completion", "embedding", "cached")
_SEVERAL = ("spread", "gather")  # the stages of a line that asks for several answers


def _spent(job: Any) -> list[ColumnElement[int]]:
    return [func.coalesce(func.sum(getattr(job, f"{name}_tokens")), 0) for name in _SPENT]


def _named(sums: Sequence[Any]) -> dict[str, int]:
    return {name: int(one) for name, one in zip(_SPENT, sums, strict=True)}


def left_out(session: Session, job_id: uuid.UUID) -> int:
    """How many lines that succeeded had no room in the batch's output file."""
    full_from = select(Batch.full_from).where(Batch.job_id == job_id).scalar_subquery()
    own = select(func.count()).where(Job.parent_id == job_id, Job.status == "succeeded", Job.place >= full_from)
    theirs = select(func.count()).select_from(BatchTwin).join(Job, twins.JOB_OF)
    theirs = theirs.where(BatchTwin.job_id == job_id, Job.status == "succeeded", BatchTwin.place >= full_from)
    return session.scalar(select(own.scalar_subquery() + theirs.scalar_subquery())) or 0


def written(session: Session, job_id: uuid.UUID) -> int:
    """How many lines have been made jobs, or twins of such: all before this place."""
    last = select(func.max(Job.place)).where(Job.parent_id == job_id).scalar_subquery()
    found = session.scalar(select(func.greatest(last, twins.last(job_id).scalar_subquery())))
    return 0 if found is None else found + 1


@dataclass(frozen=True, slots=True)
class EndedLine:
    """A line that has ended: its place, what the client calls it, the job that answered it with its result, and whether
    that is another line's."""

    place: int
    label: str
    job: Job
    result: dict[str, Any] | None
    is_twin: bool


def ended_lines(
    session: Session,
    job_id: uuid.UUID,
    *,
    succeeded: bool,
    after: int,
    limit: int,
    most_bytes: int,
    full_from: int | None = None,
) -> Sequence[EndedLine]:
    """Lines of the batch that have ended, with their results and how they were asked for: those that succeeded, or the
    others, to which all belong from the place `full_from` on; in their order, from the one after this place on. As many
    as have so many bytes (`size_of_line`), and one more."""
    size: Any = size_of_line()
    over = Job.finished_at.is_not(None)
    own = (Job, Job.place, Job.label, literal(False), Job.parent_id == job_id)
    theirs = (BatchTwin, BatchTwin.place, BatchTwin.label, literal(True), BatchTwin.job_id == job_id)
    measured, whole = list[tuple[int, int]](), list[EndedLine]()
    for table, place, _, _, which in (own, theirs):
        sizes = _outputs(select(place, size), table).outerjoin(JobVectors, JobVectors.job_id == Job.id)
        how = _answered(place, full_from) if succeeded else not_(_answered(place, full_from))
        rows = session.execute(sizes.where(which, over, how, place > after).order_by(place).limit(limit))
        measured += [(at, int(size)) for at, size in rows]
    last = last_of_lot(sorted(measured)[:limit], most_bytes)
    for table, place, label, is_twin, which in (own, theirs):
        query = _outputs(select(place, label, Job, JobOutput.result, is_twin), table)
        how = _answered(place, full_from) if succeeded else not_(_answered(place, full_from))
        query = query.where(which, over, how, place > after, place <= last).options(undefer(Job.params))
        whole += [EndedLine(*row) for row in session.execute(query, execution_options={"populate_existing": True})]
    return sorted(whole, key=lambda line: line.place)


def _answered(place: Any, full_from: int | None) -> ColumnElement[bool]:
    """The condition that a line's answer is in the output file."""
    return and_(Job.status == "succeeded", true() if full_from is None else place < full_from)


def size_of_line() -> ColumnElement[int]:
    """How many bytes PostgreSQL keeps of what a line's answer is made of: of its job, its output and its vectors."""
    asked = case((Job.params["line"]["echo"].is_not(None), Job.input))
    parts = (JobOutput.result, JobVectors.data, Job.params, asked)
    return reduce(operator.add, (func.coalesce(func.pg_column_size(part), 0) for part in parts))


def _outputs(query: Select[Any], table: Any) -> Select[Any]:
    """The query over lines of the batch, or twins of such, each with its job and what came of that."""
    query = query.select_from(table)
    query = query.join(Job, twins.JOB_OF) if table is BatchTwin else query
    return query.outerjoin(JobOutput, JobOutput.job_id == Job.id)


def last_of_lot(measured: Sequence[tuple[int, int]], most_bytes: int) -> int:
    """The number of the first line, of some with their bytes, at which these are more than so many; or of the last."""
    total = 0
    for number, size in measured:
        total += size
        if total > most_bytes:
            return number
    return measured[-1][0] if measured else -1


def vectors(session: Session, job_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, JobVectors]:
    """What these jobs keep of vectors, where they do."""
    return {row.job_id: row for row in session.scalars(select(JobVectors).where(JobVectors.job_id.in_(job_ids)))}


def unfinished(session: Session, job_id: uuid.UUID) -> bool:
    """Whether a line of the batch hasn't ended."""
    query = select(Job.id).where(Job.parent_id == job_id, Job.finished_at.is_(None)).limit(1)
    return session.scalar(query) is not None
