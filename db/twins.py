"""Twins: lines of batches that ask what an earlier line of theirs asks. Its job is theirs too."""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import CompoundSelect, ForeignKey, Index, Integer, Select, Text, and_, func, select, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.jobs import Job
from db.session import Table


class BatchTwin(Table):
    """A line that has no job of its own: its place, what the client calls it, and the place of the line whose job
    answers both. It goes with its batch.
    """

    __tablename__ = "batch_twins"
    __table_args__ = (Index("batch_twins_of", "job_id", "of_place"),)  # `unfinished`

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batches.job_id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    of_place: Mapped[int] = mapped_column(Integer)
    label: Mapped[str] = mapped_column(Text)


# The job that answers a twin.
JOB_OF = and_(Job.parent_id == BatchTwin.job_id, Job.place == BatchTwin.of_place)


def add(session: Session, twins: Sequence[Mapping[str, Any]]) -> None:
    """Writes twins down, given by their columns; those that are there stay as they are."""
    if twins:
        session.execute(insert(BatchTwin).on_conflict_do_nothing(), list(twins))


def counts(session: Session, job_ids: Collection[uuid.UUID]) -> Sequence[tuple[uuid.UUID, str, int]]:
    """By batch and status of their jobs: how many twins there are."""
    columns = (BatchTwin.job_id, Job.status, func.count())
    query = select(*columns).join(Job, JOB_OF).where(BatchTwin.job_id.in_(job_ids))
    return [(id, status, int(number)) for id, status, number in session.execute(query.group_by(*columns[:2]))]


def last(job_id: uuid.UUID) -> Select[int]:
    """The query for the place of the batch's last twin; NULL where it has none."""
    return select(func.max(BatchTwin.place)).where(BatchTwin.job_id == job_id)


def ended(job_id: uuid.UUID) -> CompoundSelect[int, dt.datetime]:
    """The query for the lines of a batch that have ended, twins too: the place of each, and when (`finished_at`)."""
    over = Job.finished_at.is_not(None)
    own = select(Job.place, Job.finished_at).where(Job.parent_id == job_id, over)
    theirs = select(BatchTwin.place, Job.finished_at).join(Job, JOB_OF).where(BatchTwin.job_id == job_id, over)
    return union_all(own, theirs)


def unfinished(session: Session, job_id: uuid.UUID) -> int:
    """How many twins of a batch have a job that hasn't ended."""
    return session.scalar(left(job_id)) or 0


def left(job_id: uuid.UUID) -> Select[int]:
    """The query for how many twins of a batch have a job that hasn't ended."""
    query = select(func.count()).select_from(Job).join(BatchTwin, JOB_OF)
    return query.where(Job.parent_id == job_id, Job.finished_at.is_(None))
