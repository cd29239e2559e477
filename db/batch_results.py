"""The order in which a batch's lines came to their ends."""

import uuid
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    UniqueConstraint,
    Uuid,
    case,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, insert
from sqlalchemy.orm import InstrumentedAttribute, Mapped, Session, mapped_column, undefer

from db import batches, twins
from db.batches import Batch, EndedLine, written
from db.jobs import Job, JobOutput
from db.session import Table
from db.twins import BatchTwin
from db.vectors import JobVectors

_QUIET = {"synchronize_session": False}
_MEASURED = 200  # jobs, or lines of so many batches:
_LATEST = 3
_SHORT = 64 * 1024  # bytes of what was asked: of more the strings aren't looked for
_WORDED = ("chat", "generate", "response")  # types of jobs whose prompts are what was asked


class BatchResult(Table):
    """The number, from 1 on, of a batch's line among those that have ended, as they were seen to; the line by its
    place."""

    __tablename__ = "batch_results"
    __table_args__ = (UniqueConstraint("batch_id", "place", name="batch_results_place"),)

    batch_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    place: Mapped[int] = mapped_column(Integer)


def number_ends(session: Session, batch_id: uuid.UUID, *, waits: bool) -> None:
    """Gives a number to each of the batch's lines that has ended and has none, in the order of the ends.

    The batch's row is locked meanwhile, so numbers only grow, however late an end is committed: whoever has seen one
    has seen all below it. Where another transaction holds it this one `waits`, or leaves it at the numbers there are.
    """
    if not _has_new(session, batch_id):
        return
    row = select(Batch.job_id).where(Batch.job_id == batch_id)
    if session.scalar(row.with_for_update(key_share=True, skip_locked=not waits)) is None:
        return
    if not _has_new(session, batch_id):  # whoever held it may have numbered them
        return
    lines = twins.ended(batch_id).subquery()
    numbered = select(BatchResult.place).where(BatchResult.batch_id == batch_id, BatchResult.place == lines.c.place)
    number = func.row_number().over(order_by=(lines.c.finished_at, lines.c.place)) + _last(session, batch_id)
    new = select(literal(batch_id, Uuid()), number, lines.c.place).where(~numbered.exists())
    session.execute(insert(BatchResult).from_select(["batch_id", "number", "place"], new), execution_options=_QUIET)


def page(session: Session, batch_id: uuid.UUID, after: int, limit: int, most_bytes: int) -> list[tuple[int, EndedLine]]:
    """Numbered ends after that number, at most `limit`: the number, and the line. As many as have so many bytes
    (`batches.size_of_line`), and one more; what a line asked is loaded when it is looked at."""
    sizes = _lines(batch_id, BatchResult.number, batches.size_of_line()).outerjoin(
        JobVectors, JobVectors.job_id == Job.id
    )
    measured = session.execute(sizes.where(BatchResult.number > after).limit(limit))
    last = batches.last_of_lot([(number, int(size)) for number, size in measured], most_bytes)
    label = func.coalesce(BatchTwin.label, Job.label)
    columns = (BatchResult.number, BatchResult.place, label, Job, JobOutput.result, BatchTwin.place.is_not(None))
    query = _lines(batch_id, *columns).where(BatchResult.number > after, BatchResult.number <= last)
    return [(number, EndedLine(*line)) for number, *line in session.execute(query.options(undefer(Job.params)))]


def _lines(batch_id: uuid.UUID, *columns: Any) -> Select[Any]:
    """The query for this of the lines that have a number, in that order: each with the job that answered it."""
    twin = (BatchTwin.job_id == BatchResult.batch_id) & (BatchTwin.place == BatchResult.place)
    place = func.coalesce(BatchTwin.of_place, BatchResult.place)
    query = select(*columns).select_from(BatchResult).outerjoin(BatchTwin, twin)
    query = query.join(Job, (Job.parent_id == BatchResult.batch_id) & (Job.place == place))
    query = query.outerjoin(JobOutput, JobOutput.job_id == Job.id)
    return query.where(BatchResult.batch_id == batch_id).order_by(BatchResult.number)


def _ended(session: Session, batch_id: uuid.UUID) -> int:
    """How many lines have ended: of those that were written down, which have the first places, all but those whose job
    hasn't."""
    left = select(func.count()).select_from(Job).where(Job.parent_id == batch_id, Job.finished_at.is_(None))
    return written(session, batch_id) - (session.scalar(left) or 0) - twins.unfinished(session, batch_id)


def _has_new(session: Session, batch_id: uuid.UUID) -> bool:
    return _ended(session, batch_id) > _last(session, batch_id)


def _last(session: Session, batch_id: uuid.UUID) -> int:
    return session.scalar(select(func.max(BatchResult.number)).where(BatchResult.batch_id == batch_id)) or 0


def measured_words(session: Session, tenant_id: uuid.UUID, model: str) -> tuple[int, int]:
    """How many bytes the words of the tenant's newest jobs of this model have, and how many tokens these were."""
    return _measured(session, Job.tenant_id == tenant_id, Job.model == model, Job.parent_id.is_(None))


def measured_lines(session: Session, tenant_id: uuid.UUID, model: str) -> tuple[int, int]:
    """`measured_words` of lines of the tenant's newest batches for this model."""
    newest = select(Batch.job_id).where(Batch.tenant_id == tenant_id, Batch.model == model)
    found = session.scalars(newest.order_by(Batch.job_id.desc()).limit(_LATEST)).all()
    measured = [_measured(session, Job.parent_id == id, Job.model == model, by=Job.place) for id in found]
    return sum(size for size, _ in measured), sum(tokens for _, tokens in measured)


def _measured(
    session: Session, *which: ColumnElement[bool], by: ColumnElement[Any] | InstrumentedAttribute[Any] = Job.id
) -> tuple[int, int]:
    """Of the last such jobs by this column, which an index has them sorted by."""
    size = func.octet_length(Job.input.cast(Text))
    truncated = Job.input["truncates"].as_boolean()  # whose prompt may have been a part of it
    words = case((truncated, 0), (size <= _SHORT, _words()), else_=size).label("words")
    ended = (Job.status == "succeeded", Job.type.in_(_WORDED), Job.prompt_tokens > 0)
    newest = select(words, Job.prompt_tokens).where(*which, *ended)
    rows = newest.order_by(by.desc()).limit(_MEASURED).subquery()
    kept = rows.c.words > 0  # of others what was asked is erased, or was not all read
    total, tokens = session.execute(select(func.sum(rows.c.words), func.sum(rows.c.prompt_tokens)).where(kept)).one()
    return int(total or 0), int(tokens or 0)


def _words() -> ColumnElement[int]:
    """How many bytes all strings of what was asked have: without what JSON puts around them, which is more than they
    are where they are short."""
    path = literal('strict $.** ? (@.type() == "string")', Text).cast(JSONPATH)
    string = func.jsonb_path_query(Job.input.cast(JSONB), path).column_valued("string")
    size = func.octet_length(string.cast(Text)) - len('""')
    return select(func.coalesce(func.sum(size), 0)).correlate(Job).scalar_subquery()
