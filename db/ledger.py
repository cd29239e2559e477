"""The ledger: what each ended job used, one row a job, written with its end. It outlives the job."""

import datetime as dt
import decimal
import uuid
from collections.abc import Collection
from functools import cache

from sqlalchemy import Date, DateTime, Float, Index, Integer, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table, within


class LedgerRow(Table):
    """What one job used, by whom, on what. Everything it names, it names by value: a job may be erased, its cost not.

    `waited_s` is how long it could have started before it did, `first_token_s` from then to its answer's first token,
    both None where that is not known or was never. `ran_s` is the time of all its attempts together, and `attempts`
    how many of them ended in which way. `period` is the first day of the month, in UTC, in which it ended. `price` is
    None while nothing has one.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        # Finds what has ended since a moment (`db.usage`); an end writes next to nothing for it.
        Index(
            "ledger_ended",
            "ended_at",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 32, "autosummarize": True},
        ),
    )

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
    within(session)(_enter(), {"job_ids": list(job_ids)})


@cache
def _enter() -> str:
    ended = "(SELECT * FROM jobs WHERE id = ANY (%(job_ids)s))"
    return f"{insertion(ended)} RETURNING job_id"


def insertion(ended: str, now: str | None = None) -> str:
    """The text of a statement that enters ended jobs. `ended` is the source of their rows, with the columns of `jobs`.

    A statement that writes down a job's last attempt itself can't read it in `job_attempts` yet: its `now` selects
    `how`, `started_at` and `ended_at` of that attempt, from the job's row `j`.
    """
    runs = "SELECT how, started_at, ended_at FROM job_attempts WHERE job_id = j.id"
    if now is not None:
        runs = f"{runs} AND j.attempt > 1 AND number <> j.attempt UNION ALL {now}"
    return f"""
INSERT INTO ledger ({", ".join(_COLUMNS)})
SELECT {", ".join(_COLUMNS.values())}
FROM {ended} AS j LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(how, number) AS attempts, sum(seconds) AS ran_s FROM (
        SELECT how, count(*) AS number, sum({_seconds("started_at", "ended_at")}) AS seconds
        FROM ({runs}) AS runs GROUP BY how
    ) AS ways
) AS ran ON true"""


def _seconds(since: str, until: str) -> str:
    return f"extract(epoch FROM {until} - {since})::float8"


_COULD_START_AT = "coalesce(j.run_at, j.created_at)"
_COLUMNS = {
    "job_id": "j.id",
    "parent_id": "j.parent_id",
    "tenant_id": "j.tenant_id",
    "key_id": "j.key_id",
    "kind": "j.type",
    "model": "j.model",
    "lane": "j.lane",
    "status": "j.status",
    "error_code": "j.error_code",
    "created_at": "j.created_at",
    "ended_at": "j.finished_at",
    "period": "date_trunc('month', j.finished_at AT TIME ZONE 'UTC')::date",
    "waited_s": _seconds(_COULD_START_AT, "j.started_at"),
    "first_token_s": _seconds(_COULD_START_AT, "j.first_token_at"),
    "ran_s": "coalesce(ran.ran_s, 0)",
    "attempts": "coalesce(ran.attempts, '{}')",
    "prompt_tokens": "coalesce(j.prompt_tokens, 0)",
    "completion_tokens": "coalesce(j.completion_tokens, 0)",
    "embedding_tokens": "coalesce(j.embedding_tokens, 0)",
    "cached_tokens": "coalesce(j.cached_tokens, 0)",
}
