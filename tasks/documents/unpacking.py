"""Archives, which become the documents in them. Every function takes a session, never commits, and opens the tenant's
scope."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.documents import documents, identities
from db.scope import scope
from tasks import errors, ids
from tasks.documents import ends, ingest, kinds
from tasks.documents.ingest import Archive, NewDocument, Pending


@dataclass(frozen=True, slots=True)
class Members:
    """The documents that an archive became, and those of them that wait to be read, in order."""

    documents: tuple[uuid.UUID, ...] = ()
    waiting: tuple[Pending, ...] = ()


def unpacked(
    session: Session,
    tenant_id: uuid.UUID,
    document_id: uuid.UUID,
    members: Sequence[tuple[str, bytes]],
    refused: Sequence[tuple[str, str]],
) -> Members:
    """Puts documents in the place of an archive that waits: its members, by their names in it, and those that are
    refused, with the reason. What was said of the archive holds for each, but for its title.

    They are as old as it is. Idempotent; does nothing when the archive is gone.
    """
    with scope(session, tenant_id):
        found = documents.find(session, tenant_id, document_id)
        if found is None or found[0].status != "pending":
            return Members()
        archive, _ = found
        new = [_member(archive, name, raw) for name, raw in members] + [_member(archive, name) for name, _ in refused]
        document_ids = tuple(ids.within(document_id, place) for place in range(len(new)))
        for id, one in zip(document_ids, new, strict=True):
            ingest.write(session, tenant_id, archive.collection_id, archive.job_id, id, one)
        for refused_id, (_, reason) in zip(document_ids[len(members) :], refused, strict=True):
            documents.give_up(session, tenant_id, refused_id, errors.UnreadableDocument.code, reason)
            documents.set_text(session, tenant_id, refused_id, None)
        documents.remove(session, tenant_id, document_id)
    ends.forget_failed(session, tenant_id, document_ids[len(members) :])
    waiting = [
        Pending(id, one.kind, len(one.contents), True, one.charset)
        for id, one in zip(document_ids, new, strict=True)
        if one.raw is not None
    ]
    return Members(document_ids, tuple(waiting))


def settled(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> None:
    """No document of the job waits any more: what its archives hadn't of their earlier versions is gone. Idempotent."""
    with scope(session, tenant_id):
        identities.remove_left_over(session, tenant_id, job_id)


def _member(archive: documents.Document, name: str, raw: bytes | None = None) -> NewDocument:
    called = archive.external_id or archive.filename
    assert called is not None
    return NewDocument(
        text=None,
        raw=raw,
        kind=kinds.kind_of(name) or archive.kind,
        title=None,
        filename=f"{archive.filename}/{name}",
        metadata=archive.labels,
        charset=archive.charset,
        external_id=f"{archive.external_id}/{name}" if archive.external_id else None,
        replaces=archive.replaces,
        archive=Archive(called, archive.id, archive.digest),
    )
