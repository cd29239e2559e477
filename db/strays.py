"""Strays: rows of jobs that are gone. No foreign key keeps them from being there, so they are looked for."""

import uuid
from collections.abc import Sequence

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.attempts import JobAttempt
from db.checkpoints import JobCheckpoint
from db.jobs import Job, JobOutput
from db.vectors import JobVectors

TABLES = (JobAttempt, JobCheckpoint, JobOutput, JobVectors)
_LOOKED_AT = 1000  # rows of a table in one look, or a page of it


def some(session: Session) -> dict[str, Sequence[uuid.UUID]]:
    """The jobs, by table, of strays among rows that are drawn by the page: so a look costs the same however many rows
    there are, and in time each is looked at.
    """
    found = {}
    for table in TABLES:
        name = table.__tablename__
        rows = session.scalar(text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:name)"), {"name": name})
        percent = min(100.0, 100.0 * _LOOKED_AT / max(rows or 1, 1))
        sample = table.__table__.tablesample(func.system(percent))
        found[name] = session.scalars(select(sample.c.job_id).distinct()).all()
    return {name: gone for name, ids in found.items() if (gone := _gone(session, ids))}


def _gone(session: Session, job_ids: Sequence[uuid.UUID]) -> Sequence[uuid.UUID]:
    there = set(session.scalars(select(Job.id).where(Job.id.in_(job_ids))))
    return [job_id for job_id in job_ids if job_id not in there]
