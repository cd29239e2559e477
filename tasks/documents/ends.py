"""What became of an ingest job's documents."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.documents import documents, identities
from db.jobs import Job
from db.scope import scope
from tasks import ids
from tasks.jobs import lifecycle


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a job's documents: how many are ready, and why others failed (code, message)."""

    ready: int
    failed: list[tuple[str, str]]
    result: dict[str, Any]


def of_job(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Ingested:
    """What became of the job's documents, of those that are still there."""
    given = session.scalars(select(Job.input).where(Job.id == job_id)).one()
    with scope(session, tenant_id):
        rows = [row for row, _ in documents.of_job(session, tenant_id, job_id)]
        firsts = identities.firsts(session, tenant_id, rows)
    shown = [_summary(row, firsts.get(row.id)) for row in rows]
    return Ingested(
        ready=sum(row.status == "ready" for row in rows),
        failed=[(row.error_code, row.error_message or "") for row in rows if row.error_code],
        result={
            "collection": given["collection"],
            "documents": shown,
            "chunks": sum(row.chunks or 0 for row in rows if row.status == "ready"),
        },
    )


def forget_failed(session: Session, tenant_id: uuid.UUID, document_ids: Collection[uuid.UUID]) -> None:
    """Deletes what failed of earlier versions of these documents: as a client sees it, so those too whose job has ended
    without them, or was removed since."""
    with scope(session, tenant_id):
        waited_for = {id for id in identities.waited_for(session, tenant_id, document_ids) if id is not None}
    alive = (Job.tenant_id == tenant_id, Job.id.in_(waited_for), Job.status.not_in(lifecycle.TERMINAL))
    ended = waited_for.difference(session.scalars(select(Job.id).where(*alive))) if waited_for else set()
    with scope(session, tenant_id):
        identities.remove_failed(session, tenant_id, document_ids, ended)


def _summary(row: documents.Document, first: uuid.UUID | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": ids.show(row.id, ids.DOCUMENT),
        "title": row.title,
        "filename": row.filename,
        "external_id": row.external_id,
        "status": row.status,
        "chunks": row.chunks if row.status == "ready" else None,
    }
    if first is not None:
        shown["duplicate_of"] = ids.show(first, ids.DOCUMENT)
    if row.warnings:
        shown["warnings"] = row.warnings
    if row.error_code:
        shown["error"] = {"code": row.error_code, "message": row.error_message or ""}
    return shown
