"""Usage: the ledger added up by tenant, day, model and kind to a moment that moves on; after it, the ledger itself."""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Select,
    SmallInteger,
    Text,
    and_,
    cast,
    delete,
    func,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.ledger import LedgerRow
from db.session import Table


class UsageDay(Table):
    """What the jobs of a tenant, a model and a kind that ended on one day, in UTC, used: as many rows of the ledger."""

    __tablename__ = "usage_days"

    tenant_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    model: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    jobs: Mapped[int] = mapped_column(BigInteger)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    embedding_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_tokens: Mapped[int] = mapped_column(BigInteger)


class UsageMark(Table):
    """How far the ledger has been added up: one row, made when it is first needed.

    The jobs that ended before `added_until` are in `usage_days`, and no others. Those that ended before `closing` come
    next, when every transaction whose number is less than `horizon` is over: no later one can have ended a job before
    `closing`. `noted_at` is when that was noted.
    """

    __tablename__ = "usage_mark"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    added_until: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    closing: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    horizon: Mapped[int] = mapped_column(BigInteger)
    noted_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Mark:
    """The mark as its row has it, and PostgreSQL's clock.

    `settled` says that no job which ended before `closing` can come into the ledger any more; `foreign`, that another
    server numbered the transactions: the database was restored from a dump since.
    """

    added_until: dt.datetime
    closing: dt.datetime
    settled: bool
    foreign: bool
    clock: dt.datetime


_ID = 1
_NEVER = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_SUMMED = ("jobs", "prompt_tokens", "completion_tokens", "embedding_tokens", "cached_tokens")
_GROUPED = ("tenant_id", "day", "model", "kind")


def due(every_s: float) -> Select[int]:
    """Finds a row when the last note was made `every_s` ago, or never."""
    recent = UsageMark.noted_at.between(func.now() - dt.timedelta(seconds=every_s), func.now())
    return select(literal(1)).where(~select(UsageMark.id).where(recent).exists())


def locked(session: Session) -> Mark:
    """The mark, kept from others until the transaction ends."""
    snapshot = func.pg_current_snapshot()
    settled = UsageMark.horizon <= _number(func.pg_snapshot_xmin(snapshot))
    foreign = UsageMark.horizon >= _number(func.pg_snapshot_xmax(snapshot))
    columns = (UsageMark.added_until, UsageMark.closing, settled, foreign, func.clock_timestamp())
    found = session.execute(select(*columns).with_for_update()).one_or_none()
    if found is None:
        first = {"added_until": _NEVER, "closing": _NEVER, "noted_at": _NEVER, "horizon": 0}
        session.execute(insert(UsageMark).values(id=_ID, **first).on_conflict_do_nothing(index_elements=["id"]))
        return locked(session)
    return Mark(*found)


def add(session: Session, since: dt.datetime, until: dt.datetime) -> bool:
    """Adds the jobs that ended from `since` on and before `until` to the days; False where there are none.

    To be committed together with the mark that says so (`move`), by who has it `locked`.
    """
    ended = _ended(_between(since, until)).subquery()
    grouped = [ended.c[name] for name in _GROUPED]
    sums = select(*grouped, *_sums(ended.c)).group_by(*grouped)
    added = insert(UsageDay).from_select([*_GROUPED, *_SUMMED], sums)
    more = {name: getattr(UsageDay, name) + added.excluded[name] for name in _SUMMED}
    days = added.on_conflict_do_update(index_elements=list(_GROUPED), set_=more).returning(UsageDay.day)
    return bool(session.execute(days).all())


def first_ended(session: Session, since: dt.datetime, until: dt.datetime) -> dt.datetime | None:
    """When the first job between the moments ended."""
    return session.scalar(select(func.min(LedgerRow.ended_at)).where(_between(since, until)))


def move(session: Session, added_until: dt.datetime) -> None:
    session.execute(update(UsageMark).values(added_until=added_until))


def note(session: Session, margin_s: float) -> None:
    """Notes that what has ended `margin_s` before the transaction began is to be added next.

    The number that this transaction has is the horizon. One with a greater number got it later than this one began; and
    it read the clock, for the end of a job, at most an instant before it got its number. The margin is for that
    instant, and for a clock that is set back a little.
    """
    before = func.now() - dt.timedelta(seconds=margin_s)
    session.execute(
        update(UsageMark).values(
            closing=func.greatest(UsageMark.added_until, before),
            horizon=_number(func.pg_current_xact_id()),
            noted_at=func.now(),
        )
    )


def take_back(session: Session, day: dt.date) -> None:
    """Has that day and all after it added up anew."""
    session.execute(delete(UsageDay).where(UsageDay.day >= day))
    since = _midnight(day)
    session.execute(update(UsageMark).values(added_until=since, closing=since))


def of(
    session: Session, first: dt.date, last: dt.date, by: Sequence[str], tenant_id: uuid.UUID | None = None
) -> Sequence[Any]:
    """The sums of both days and all between, grouped by some of `tenant_id`, `day`, `model`, `kind`, and in that order.

    Of all tenants unless one is given. It must be what its transaction begins with: so the mark, the days and the
    ledger are those of one moment.
    """
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    # Asked for by itself: PostgreSQL, which sees then how little is left, reads that by the index.
    added_until = session.scalar(select(UsageMark.added_until)) or _NEVER
    since = max(added_until, _midnight(first))
    ours = () if tenant_id is None else (UsageDay.tenant_id == tenant_id,)
    theirs = () if tenant_id is None else (LedgerRow.tenant_id == tenant_id,)
    days = select(*[getattr(UsageDay, name) for name in (*_GROUPED, *_SUMMED)])
    added = days.where(UsageDay.day.between(first, last), *ours)
    rest = _ended(_between(since, _midnight(last + dt.timedelta(days=1))), *theirs)
    both = union_all(added, rest).subquery()
    grouped = [both.c[name] for name in by]
    return session.execute(select(*grouped, *_sums(both.c)).group_by(*grouped).order_by(*grouped)).all()


def _ended(*which: ColumnElement[bool]) -> Select[Any]:
    """Rows of the ledger, as if each were a day's sum."""
    day = cast(func.timezone("UTC", LedgerRow.ended_at), Date).label("day")
    tokens = [getattr(LedgerRow, name) for name in _SUMMED[1:]]
    one = literal(1, BigInteger).label("jobs")
    return select(LedgerRow.tenant_id, day, LedgerRow.model, LedgerRow.kind, one, *tokens).where(*which)


def _between(since: dt.datetime, until: dt.datetime) -> ColumnElement[bool]:
    return and_(LedgerRow.ended_at >= since, LedgerRow.ended_at < until)


def _sums(columns: Any) -> list[ColumnElement[int]]:
    return [cast(func.sum(columns[name]), BigInteger).label(name) for name in _SUMMED]


def _number(transaction: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(cast(transaction, Text), BigInteger)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
