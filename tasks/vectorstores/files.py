"""Files in a vector store: found, listed, given other attributes, taken out.

Functions take a session, never commit, and open the tenant's scope.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from db.documents import collections
from db.documents.collections import Collection
from db.documents.documents import Document
from db.scope import scope
from db.vectorstores import attached
from db.vectorstores.attached import STATUSES as STATUSES
from db.vectorstores.pages import Page
from tasks import errors
from tasks.documents import attaching, chunking, homes, library
from tasks.documents.attaching import Attached
from tasks.documents.library import Text
from tasks.keys import Caller
from tasks.models.catalog import Catalog
from tasks.vectorstores import counting, stores

_INVALID = frozenset({errors.UnreadableDocument.code, errors.DocumentTooLarge.code, errors.ContextLengthExceeded.code})


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What is told of a file in a store. `error` has a code of OpenAI's, and a message."""

    file_id: uuid.UUID
    store_id: uuid.UUID
    status: str
    error: tuple[str, str] | None
    attributes: Mapping[str, Any]
    usage_bytes: int
    chunk_tokens: int
    chunk_overlap: int
    created_at: dt.datetime


def get(session: Session, caller: Caller, store_id: uuid.UUID, file_id: uuid.UUID) -> StoredFile:
    """Raises `NotFound`."""
    return _told(session, caller, store_id, [_find(session, caller, store_id, file_id)])[0]


def standing(
    session: Session, models: Catalog, caller: Caller, store_id: uuid.UUID, wanted: Attached
) -> StoredFile | None:
    """The file where it is in the store, to be cut as is wanted, completed or in progress, and so needn't be attached:
    with the wanted attributes, if any. Until the transaction ends it is neither attached nor taken out.

    Raises `NotFound`, `Conflict` once the store has expired, `ModelUnknown`.
    """
    stores.require_alive(session, caller, store_id, keep=True)
    home, embedder = homes.there(session, models, caller.tenant_id, stores.collection_name(store_id))
    row = attaching.standing(session, caller.tenant_id, home, wanted, embedder.context)
    found = get(session, caller, store_id, wanted.file_id) if row else None
    if found is None or found.status not in ("completed", "in_progress"):
        return None  # it waits for a job that has ended
    stores.use(session, caller, [store_id])
    return found if wanted.attributes is None else label(session, caller, store_id, wanted.file_id, wanted.attributes)


def page(
    session: Session,
    caller: Caller,
    store_id: uuid.UUID,
    wanted: Page,
    *,
    status: str | None = None,
    job_id: uuid.UUID | None = None,
) -> tuple[list[StoredFile], bool]:
    """The store's files, of this status and attached by this job only, and whether there are more.

    `after` and `before` are ids of files; raises `InvalidField` for one that isn't in the store, and `NotFound`.
    """
    stores.require(session, caller, store_id)
    which = attached.of_collection([store_id]) if job_id is None else attached.of_job(store_id, job_id)
    ended = counting.ended_among(session, caller, which) if status not in (None, "completed") else attached.Ended()
    asked = Page(
        wanted.limit + 1,
        _place(session, caller, store_id, "after", wanted.after),
        _place(session, caller, store_id, "before", wanted.before),
        wanted.newest_first,
    )
    with scope(session, caller.tenant_id):
        rows = attached.page(session, caller.tenant_id, which, asked, status=status, ended=ended)
    rows, more = counting.cut(rows, wanted)
    return _told(session, caller, store_id, rows), more


def label(
    session: Session, caller: Caller, store_id: uuid.UUID, file_id: uuid.UUID, attributes: Mapping[str, Any]
) -> StoredFile:
    """Gives it other attributes. Raises `NotFound`."""
    with scope(session, caller.tenant_id):
        attached.label(session, caller.tenant_id, store_id, file_id, attributes)
    return get(session, caller, store_id, file_id)


def remove(session: Session, caller: Caller, store_id: uuid.UUID, file_id: uuid.UUID) -> None:
    """Takes the file out of the store: it stays, and isn't found there any more. Raises `NotFound`."""
    row = _find(session, caller, store_id, file_id)
    with scope(session, caller.tenant_id):
        attached.remove(session, caller.tenant_id, [row.id])


def text(session: Session, caller: Caller, store_id: uuid.UUID, file_id: uuid.UUID, *, begins: int, limit: int) -> Text:
    """What was understood of it, or a part of that. Raises `NotFound`, and `Conflict` unless it is completed."""
    row = _find(session, caller, store_id, file_id)
    return library.text(session, caller, row.id, begins=begins, limit=limit)


def counts(session: Session, caller: Caller, which: ColumnElement[bool], store_id: uuid.UUID) -> counting.Counts:
    """The store's files among these documents, counted."""
    return counting.by_collection(session, caller, which).get(store_id, counting.Counts())


def _find(session: Session, caller: Caller, store_id: uuid.UUID, file_id: uuid.UUID) -> Document:
    with scope(session, caller.tenant_id):
        found = attached.of_files(session, caller.tenant_id, store_id, [file_id])
    if not found:
        raise errors.NotFound("no such file in the store")
    return found[0]


def _place(
    session: Session, caller: Caller, store_id: uuid.UUID, field: str, file_id: uuid.UUID | None
) -> uuid.UUID | None:
    """Where in the list the file stands that the cursor names."""
    if file_id is None:
        return None
    try:
        return _find(session, caller, store_id, file_id).id
    except errors.NotFound as error:
        raise errors.InvalidField(field, "names no file of this store") from error


def _told(session: Session, caller: Caller, store_id: uuid.UUID, rows: Sequence[Document]) -> list[StoredFile]:
    with scope(session, caller.tenant_id):
        home = collections.get(session, caller.tenant_id, store_id)
    if home is None:
        return []  # deleted at this moment, with all that was in it
    ends = counting.ends_of(session, caller, {row.job_id for row in rows if row.status == "pending" and row.job_id})
    return [_view(row, home, ends.get(row.job_id) if row.job_id else None) for row in rows]


def _view(row: Document, home: Collection, end: tuple[str, str | None, str | None] | None) -> StoredFile:
    end = end if row.status == "pending" else None
    status = counting.status_of(row.status, row.error_code == attached.CANCELLED, end)
    tokens = row.chunk_tokens or home.chunk_tokens or chunking.TOKENS
    overlap = row.chunk_overlap if row.chunk_tokens else home.chunk_overlap
    assert row.file_id is not None
    return StoredFile(
        file_id=row.file_id,
        store_id=home.id,
        status=status,
        error=_error(row.error_code, row.error_message, end) if status == "failed" else None,
        attributes=row.labels,
        usage_bytes=row.bytes if status == "completed" else 0,
        chunk_tokens=tokens,
        chunk_overlap=homes.overlap_of(overlap, tokens),
        created_at=row.created_at,
    )


def _error(code: str | None, message: str | None, end: tuple[str, str | None, str | None] | None) -> tuple[str, str]:
    if end is not None:
        status, code, message = end
        return "server_error", message or f"its job has ended: {status}"
    if code == attaching.UNSUPPORTED:
        return "unsupported_file", message or ""
    return "invalid_file" if code in _INVALID else "server_error", message or ""
