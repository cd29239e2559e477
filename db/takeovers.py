"""Lines that a batch takes over from earlier ones: jobs that have ended as those did, with their results.

What they cost is in the ledger once, under the lines that were run. Each function is one statement, so that a line that
is erased meanwhile is taken over whole or not at all.
"""

import datetime as dt
import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    DateTime,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    Select,
    Text,
    Uuid,
    bindparam,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.jobs import Job, JobOutput
from db.model_changes import ModelChange
from db.session import Table
from db.vectors import JobVectors

_NAMES = ("place", "label", "id", "digest")  # `Wanted`
_QUIET = {"synchronize_session": False}
_REGISTERING = dt.timedelta(seconds=10)  # a model's change is told by the clock before its commit: so long at most
_OWN = ("id", "parent_id", "place", "label", "retry_of")  # of a line that is taken over; all else is as it was


class LineDigest(Table):
    """What a line of a batch asks, and what was to answer it when that was noted, in a digest that no other tenant's
    lines have. It goes with its batch."""

    __tablename__ = "line_digests"
    __table_args__ = (Index("line_digests_digest", "digest"),)  # `_answered`

    batch_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batches.job_id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[uuid.UUID]
    noted_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


@dataclass(frozen=True, slots=True)
class Wanted:
    """A line that wants an answer: its place, what the client calls it, the id of its job, and its digest where it has
    one."""

    place: int
    label: str
    id: uuid.UUID
    digest: uuid.UUID | None = None


def of_batch(session: Session, new_id: uuid.UUID, old_id: uuid.UUID, lines: Sequence[Wanted]) -> set[int]:
    """Gives a batch those of these lines that have succeeded in their places of another. In which places it has such,
    of this call or an earlier one. A place that has its line keeps it."""
    wanted = _wanted()
    there = (Job.parent_id == old_id, Job.place == wanted.c.place, Job.status == "succeeded")
    _copy(session, new_id, lines, select(wanted, Job.id.label("from_id")).where(*there))
    taken = select(Job.place).where(Job.parent_id == new_id, Job.id.in_([line.id for line in lines]))
    return {place for place in session.scalars(taken.where(Job.retry_of.is_not(None))) if place is not None}


def of_equals(session: Session, new_id: uuid.UUID, tenant_id: uuid.UUID, lines: Sequence[Wanted]) -> set[int]:
    """Gives a batch those of these lines, each with a digest, that have succeeded in another batch of the tenant's; and
    notes the digests of all of them. In which places it has been given some. A place that has its line keeps it.
    """
    wanted = _wanted()
    equal = _answered(tenant_id, wanted.c.digest).limit(1).lateral()
    rows = select(literal(new_id, Uuid()), wanted.c.place, wanted.c.digest)
    noted = insert(LineDigest).from_select(["batch_id", "place", "digest"], rows).on_conflict_do_nothing()
    found = select(wanted, equal.c.id.label("from_id")).join_from(wanted, equal, true())
    return _copy(session, new_id, lines, found, noted.cte("noted"))


def answered(session: Session, tenant_id: uuid.UUID, digests: Collection[uuid.UUID]) -> int:
    """How many of these digests, one counted as often as it is there, a batch of the tenant's has an answer to."""
    given = func.unnest(literal(list(digests), ARRAY(Uuid))).table_valued(column("digest", Uuid)).render_derived()
    there = _answered(tenant_id, given.c.digest).exists()
    return session.scalar(select(func.count()).select_from(given).where(there)) or 0


def _answered(tenant_id: uuid.UUID, digest: ColumnElement[uuid.UUID]) -> Select[uuid.UUID]:
    """The query for lines of this digest that have succeeded, and whose words are kept.

    Each was begun after it was noted, and answered before the model was replaced: by what its digest tells. One that
    was itself taken over was so when that was noted.
    """
    noted = LineDigest.noted_at
    while_noted = or_(Job.started_at >= noted, Job.retry_of.is_not(None))
    since, until = noted - _REGISTERING, Job.finished_at
    replaced = exists().where(ModelChange.queue == Job.queue, ModelChange.since.between(since, until))
    own = (
        Job.tenant_id == tenant_id,
        Job.status == "succeeded",
        Job.store.is_not(False),
        JobOutput.result.is_not(None),
    )
    query = select(Job.id).join(LineDigest, (LineDigest.batch_id == Job.parent_id) & (LineDigest.place == Job.place))
    query = query.join(JobOutput, JobOutput.job_id == Job.id).where(LineDigest.digest == digest)
    return query.where(*own, while_noted, ~replaced.correlate(Job, LineDigest)).correlate_except(
        Job, LineDigest, JobOutput
    )


def _wanted() -> Any:
    """The lines that are given as `lines`."""
    columns = (column("place", Integer), column("label", Text), column("id", Uuid), column("digest", Uuid))
    told = func.json_to_recordset(bindparam("lines")).table_valued(*columns, name="wanted")
    return told.render_derived(with_types=True)


def _copy(session: Session, new_id: uuid.UUID, lines: Sequence[Wanted], found: Select[Any], *beside: CTE) -> set[int]:
    """Writes down lines of the batch, `found` with what each is to be copied from, and `beside` it other rows; which
    places were free for the lines."""
    source = found.cte("source")
    kept = [name for name in Job.__table__.columns.keys() if name not in _OWN]  # noqa: SIM118
    own = (source.c.id, literal(new_id, Uuid()), source.c.place, source.c.label, source.c.from_id)
    rows = select(*own, *(Job.__table__.columns[name] for name in kept)).join(source, source.c.from_id == Job.id)
    made = insert(Job).from_select([*_OWN, *kept], rows).on_conflict_do_nothing()
    copied = made.returning(Job.id, Job.place, Job.retry_of).cte("copied")
    results = [_beside(copied, table).cte(table.__tablename__) for table in (JobOutput, JobVectors)]
    statement = select(copied.c.place).add_cte(*results, *beside)
    return set(session.scalars(statement, {"lines": _shown(lines)}, execution_options=_QUIET))


def _shown(lines: Sequence[Wanted]) -> str:
    """As `_wanted` reads them."""
    return json.dumps([{name: getattr(line, name) for name in _NAMES} for line in lines], default=str)


def _beside(copied: CTE, table: type[JobOutput] | type[JobVectors]) -> Any:
    """The statement that copies what the table has of jobs that were."""
    columns: FromClause = table.__table__
    names = [name for name in columns.columns.keys() if name != "job_id"]  # noqa: SIM118
    rows = select(copied.c.id, *(columns.columns[name] for name in names))
    return insert(table).from_select(["job_id", *names], rows.join(table, table.job_id == copied.c.retry_of))
