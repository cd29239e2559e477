"""Usage: what a job spent, one row a job, written with its end."""

import datetime as dt
import uuid

from sqlalchemy import DateTime, ForeignKey, Integer, Text, func
from sqlalchemy.orm import Mapped, Session, mapped_column

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
