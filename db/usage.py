"""Usage: what a job spent, one row a job, written with its end."""

import datetime as dt
import uuid
from collections.abc import Collection

from sqlalchemy import DateTime, ForeignKey, Integer, Text, func, insert, literal, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.jobs import Job
from db.session import Table


class Usage(Table):
    __tablename__ = "usage"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"), index=True)
    model: Mapped[str] = mapped_column(Text)
    prompt_tokens: Mapped[int] = mapped_column(Integer)
    completion_tokens: Mapped[int] = mapped_column(Integer)
    embedding_tokens: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


def record(session: Session, usage: Usage) -> None:
    """Writes the one row; a second for the same job is an `IntegrityError`, never a sum."""
    session.add(usage)


def record_nothing(session: Session, job_ids: Collection[uuid.UUID]) -> None:
    """The rows of jobs that have ended and spent nothing, in one statement."""
    spent = (literal(0), literal(0), literal(0))
    rows = select(Job.id, Job.tenant_id, Job.model, *spent).where(Job.id.in_(job_ids))
    names = ["job_id", "tenant_id", "model", "prompt_tokens", "completion_tokens", "embedding_tokens"]
    session.execute(insert(Usage).from_select(names, rows))
