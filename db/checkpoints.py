"""Checkpoints: what a job that runs has streamed so far, in pieces, so that a second's writing is a second's news."""

import uuid
from functools import cache
from typing import Any

from sqlalchemy import JSON, Delete, Integer, ScalarSelect, bindparam, delete, func, select
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects.postgresql import Insert, aggregate_order_by, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table


class JobCheckpoint(Table):
    """A piece of a running job's stream: its entries from the number `first` on, as the stream has them.

    A job's pieces follow each other from entry 1 without a gap. A job that has ended has none: `job_outputs` has the
    whole. Nor has one that was handed on in good order.
    """

    __tablename__ = "job_checkpoints"

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    first: Mapped[int] = mapped_column(Integer, primary_key=True)
    entries: Mapped[list[Any]] = mapped_column(JSON)


def keep(session: Session, job_id: uuid.UUID, first: int, entries: list[Any]) -> None:
    """Keeps entries, which take the place of all that was kept from the number `first` on. Idempotent.

    The caller has fenced the attempt in this transaction.
    """
    session.execute(_keep(), {"job": job_id, "from_entry": first, "entries": entries})


@cache
def _keep() -> Insert:
    later = delete(_table()).where(
        JobCheckpoint.job_id == bindparam("job"), JobCheckpoint.first > bindparam("from_entry")
    )
    statement = insert(_table()).values(job_id=bindparam("job"), first=bindparam("from_entry"))
    statement = statement.values(entries=bindparam("entries", type_=JSON))
    replacing = {"entries": statement.excluded.entries}
    statement = statement.on_conflict_do_update(index_elements=["job_id", "first"], set_=replacing)
    return statement.add_cte(later.cte("later"))


def dropped(job_id: Any) -> Delete:
    """The statement by which a job has no checkpoint any more: it stands beside every one that writes the whole."""
    return delete(_table()).where(JobCheckpoint.job_id == job_id)


def kept(job_id: Any) -> ScalarSelect[Any]:
    """The pieces of a job's checkpoint, in order, as a value within another statement; NULL when there are none."""
    in_order = aggregate_order_by(JobCheckpoint.entries, JobCheckpoint.first.asc())
    return select(func.json_agg(in_order, type_=JSON)).where(JobCheckpoint.job_id == job_id).scalar_subquery()


def _table() -> SqlTable:
    """The table itself: what is sent to it every second needs no object of it."""
    table = JobCheckpoint.__table__
    assert isinstance(table, SqlTable)
    return table
