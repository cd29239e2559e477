"""The ledger: what each ended job used, one row a job, written with its end. It outlives the job."""

import datetime as dt
import decimal
import uuid
from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    DateTime,
    Float,
    Integer,
    Numeric,
    Select,
    SQLColumnExpression,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.selectable import LateralFromClause

from db.attempts import JobAttempt
from db.jobs import Job
from db.session import Table


class LedgerRow(Table):
    """What one job used, by whom, on what. Everything it names, it names by value: a job may be erased, its cost not.

    `waited_s` is how long it could have started before it did, `first_token_s` from then to its answer's first token,
    both None where that is not known or was never. `ran_s` is the time of all its attempts together, and `attempts`
    how many of them ended in which way. `period` is the first day of the month, in UTC, in which it ended. `price` is
    None while nothing has one.
    """

    __tablename__ = "ledger"

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    parent_id: Mapped[uuid.UUID | None]
    tenant_id: Mapped[uuid.UUID]
    key_id: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    lane: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    period: Mapped[dt.date] = mapped_column(Date)
    waited_s: Mapped[float | None] = mapped_column(Float)
    first_token_s: Mapped[float | None] = mapped_column(Float)
    ran_s: Mapped[float] = mapped_column(Float)
    attempts: Mapped[dict[str, int]] = mapped_column(JSONB)
    prompt_tokens: Mapped[int] = mapped_column(Integer)
    completion_tokens: Mapped[int] = mapped_column(Integer)
    embedding_tokens: Mapped[int] = mapped_column(Integer)
    cached_tokens: Mapped[int] = mapped_column(Integer)
    price: Mapped[decimal.Decimal | None] = mapped_column(Numeric)


def enter(session: Session, job_ids: Collection[uuid.UUID]) -> None:
    """Writes the rows of jobs that this transaction has ended, from theirs and their attempts', in one statement.

    A second row for a job is an `IntegrityError`, never a sum.
    """
    session.execute(_enter(), {"job_ids": list(job_ids)})


@cache
def _enter() -> Insert:
    """Built once: it runs with every end of a job."""
    rows = _rows()
    table = LedgerRow.__table__
    assert isinstance(table, SqlTable)
    return insert(table).from_select([column.name for column in rows.selected_columns], rows)


def _rows() -> Select[Any]:
    run = _attempts()
    could_start_at = func.coalesce(Job.run_at, Job.created_at)
    columns: dict[str, SQLColumnExpression[Any]] = {
        "job_id": Job.id,
        "parent_id": Job.parent_id,
        "tenant_id": Job.tenant_id,
        "key_id": Job.key_id,
        "kind": Job.type,
        "model": Job.model,
        "lane": Job.lane,
        "status": Job.status,
        "error_code": Job.error_code,
        "created_at": Job.created_at,
        "ended_at": Job.finished_at,
        "period": cast(func.date_trunc("month", func.timezone("UTC", Job.finished_at)), Date),
        "waited_s": _seconds(could_start_at, Job.started_at),
        "first_token_s": _seconds(could_start_at, Job.first_token_at),
        "ran_s": func.coalesce(run.c.ran_s, 0.0),
        "attempts": func.coalesce(run.c.attempts, literal({}, JSONB)),
        "prompt_tokens": func.coalesce(Job.prompt_tokens, 0),
        "completion_tokens": func.coalesce(Job.completion_tokens, 0),
        "embedding_tokens": func.coalesce(Job.embedding_tokens, 0),
        "cached_tokens": func.coalesce(Job.cached_tokens, 0),
    }
    labelled: list[Any] = [column.label(name) for name, column in columns.items()]
    ended = Job.id == any_(bindparam("job_ids", type_=ARRAY(Uuid)))
    return select(*labelled).select_from(Job).join(run, literal(True), isouter=True).where(ended)


def _attempts() -> LateralFromClause:
    """Of one job's attempts how many ended in which way, and the time of all."""
    ran_s = func.sum(_seconds(JobAttempt.started_at, JobAttempt.ended_at))
    own = (JobAttempt.job_id == Job.id, JobAttempt.how.is_not(None))
    each = select(JobAttempt.how, func.count().label("number"), ran_s.label("ran_s")).where(*own)
    ways = each.group_by(JobAttempt.how).correlate(Job).subquery()
    counted = func.jsonb_object_agg(ways.c.how, ways.c.number)
    return select(counted.label("attempts"), func.sum(ways.c.ran_s).label("ran_s")).lateral()


def _seconds(since: SQLColumnExpression[Any], until: SQLColumnExpression[Any]) -> ColumnElement[float]:
    return cast(func.extract("epoch", until - since), Float)
