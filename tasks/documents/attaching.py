"""Kept files that become documents of a collection: each is read when its turn comes. Functions take a session, never
commit, and open the tenant's scope."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from db.documents.documents import Document
from db.files.files import File
from db.scope import scope
from db.vectorstores import attached
from tasks import errors, ids
from tasks.documents import kinds

MAX_BYTES = 32 * 1024 * 1024  # of a file that is read, as of one that comes in a request
_MOST_NOTED = 2**31 - 1  # what the column of a document's bytes holds
UNSUPPORTED = "unsupported_file"
# Sources of programs and the like, which are read as plain text here; by name they'd be unknown.
_PLAIN = tuple(
    f".{suffix}"
    for suffix in (
        "c cc cpp cs css go h java js kt log php py rb rs sh sql swift tex toml ts xml yaml yml".split()  # noqa: SIM905
    )
)


@dataclass(frozen=True, slots=True)
class Attached:
    """A kept file that is to become a document: what it is to have as metadata, and how it is cut where that isn't as
    its collection says. Without `attributes` it has those that it had, if it was attached before."""

    file_id: uuid.UUID
    attributes: Mapping[str, Any] | None = None
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None

    def within(self, context: int) -> "Attached":
        """With chunks that a model of this context reads."""
        if self.chunk_tokens is None or self.chunk_tokens <= context:
            return self
        overlap = None if self.chunk_overlap is None else min(self.chunk_overlap, context // 2)
        return Attached(self.file_id, self.attributes, context, overlap)


def attach(
    session: Session,
    tenant_id: uuid.UUID,
    collection_id: uuid.UUID,
    job_id: uuid.UUID,
    wanted: Sequence[Attached],
    context: int,
) -> tuple[uuid.UUID, ...]:
    """Writes down documents of these files, each named once, that wait for the job; the ids of all, in this order.

    What is there already and cut so stays, and counts as the job's. What can't be read is there too, and has failed.
    Raises `InvalidField` for the first file that the tenant doesn't have.
    """
    with scope(session, tenant_id):
        files = {file.id: file for file in attached.hold_files(session, tenant_id, [one.file_id for one in wanted])}
        for place, one in enumerate(wanted):
            if one.file_id not in files:
                raise errors.InvalidField(f"files.{place}", f"no file {ids.show(one.file_id, ids.FILE)}")
        there = {
            row.file_id: row
            for row in attached.of_files(session, tenant_id, collection_id, [one.file_id for one in wanted])
        }
        fitted = [one.within(context) for one in wanted]
        kept = {one.file_id: there[one.file_id] for one in fitted if _stays(there.get(one.file_id), one, ("ready",))}
        gone = [row.id for file_id, row in there.items() if file_id not in kept]
        attached.remove(session, tenant_id, gone)
        for one in fitted:
            if one.file_id in kept:
                attached.hand_over(session, tenant_id, kept[one.file_id].id, job_id, one.attributes)
        new = {
            one.file_id: _row(tenant_id, collection_id, job_id, one, files[one.file_id], there.get(one.file_id))
            for one in fitted
            if one.file_id not in kept
        }
        attached.add(session, list(new.values()))
    made: dict[uuid.UUID | None, uuid.UUID] = {file_id: row["id"] for file_id, row in new.items()}
    return tuple(made[one.file_id] if one.file_id in made else kept[one.file_id].id for one in fitted)


def standing(
    session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, wanted: Attached, context: int
) -> Document | None:
    """The document of this file that is there, cut so, ready or waiting; None of a file that has expired. Until the
    transaction ends nobody deletes or attaches the file."""
    with scope(session, tenant_id):
        if not attached.hold_files(session, tenant_id, [wanted.file_id]):
            return None
        there = next(iter(attached.of_files(session, tenant_id, collection_id, [wanted.file_id])), None)
    return there if _stays(there, wanted.within(context), ("ready", "pending")) else None


def _stays(there: Document | None, wanted: Attached, among: Collection[str]) -> bool:
    """Whether the document is what would be made again, and of one of these statuses: a file's bytes never change."""
    if there is None or there.status not in among:
        return False
    return (there.chunk_tokens, there.chunk_overlap) == (wanted.chunk_tokens, wanted.chunk_overlap)


def _row(
    tenant_id: uuid.UUID,
    collection_id: uuid.UUID,
    job_id: uuid.UUID,
    wanted: Attached,
    file: File,
    before: Document | None,
) -> dict[str, Any]:
    kind, refused = _judged(file)
    labels = wanted.attributes if wanted.attributes is not None else before.labels if before else {}
    code, message = refused or (None, None)
    return {
        "id": ids.new(),
        "tenant_id": tenant_id,
        "collection_id": collection_id,
        "job_id": job_id,
        "file_id": file.id,
        "kind": kind,
        "labels": dict(labels),
        "filename": file.filename,
        "external_id": ids.show(file.id, ids.FILE),
        "bytes": min(file.bytes, _MOST_NOTED),
        "chunk_tokens": wanted.chunk_tokens,
        "chunk_overlap": wanted.chunk_overlap,
        "status": "failed" if refused else "pending",
        "error_code": code,
        "error_message": message,
    }


def _judged(file: File) -> tuple[str, tuple[str, str] | None]:
    """What kind of document the file is, and why it can't be one."""
    kind = kinds.kind_of(file.filename)
    if kind is None and file.filename.lower().endswith(_PLAIN):
        kind = "text"
    if kind is None:
        return "text", (UNSUPPORTED, f"no file of this kind is read: {file.filename}")
    if kind in kinds.ARCHIVES:
        return kind, (UNSUPPORTED, "an archive is no document: attach the files in it one by one")
    if file.bytes > MAX_BYTES:
        told = f"it has {file.bytes} bytes, and a document at most {MAX_BYTES}"
        return kind, (errors.DocumentTooLarge.code, told)
    return kind, None
