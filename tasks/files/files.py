"""Files: made once their bytes are kept, found, listed, read, deleted."""

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from db.files import files, parts
from db.scope import scope
from db.vectorstores import attached
from tasks import errors, ids
from tasks.files import keeping
from tasks.files.keeping import Part
from tasks.files.stores import Stores
from tasks.keys import Caller

# Those that a client may say; the platform itself makes files for the others.
SENT = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
MADE = ("assistants_output", "batch_output", "fine-tune-results")
BATCH_KEPT_S = 30 * 86_400
DOCUMENTS_AT_ONCE = 20  # of stores, with a file that goes: each takes all its chunks with it


@dataclass(frozen=True, slots=True)
class FileView:
    """What is told of a file."""

    id: uuid.UUID
    filename: str
    purpose: str
    bytes: int
    created_at: dt.datetime
    expires_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a file is to be called, what it is for, and for how many seconds it is wanted: None is what is usual for its
    purpose."""

    filename: str
    purpose: str
    kept_s: int | None = None


def add(session: Session, caller: Caller, part: Part, wish: Wish) -> FileView:
    """Makes a file of a part that `keeping.kept` has written. Raises `Unavailable` where that took too long."""
    with scope(session, caller.tenant_id):
        made = insert(session, caller, wish, part.bytes)
        row = parts.finish(session, caller.tenant_id, part.id, size=part.bytes, file_id=made.id, place=0)
    if row is None:
        raise errors.Unavailable("it took too long; try again")
    return made


def insert(session: Session, caller: Caller, wish: Wish, size: int) -> FileView:
    """The row of a file whose parts the caller gives it, within its scope."""
    row = files.File(id=ids.new(), tenant_id=caller.tenant_id, filename=wish.filename, purpose=wish.purpose, bytes=size)
    usual = BATCH_KEPT_S if wish.purpose == "batch" else None
    files.add(session, row, usual if wish.kept_s is None else wish.kept_s)
    return view(row)


def page(
    session: Session,
    caller: Caller,
    *,
    limit: int,
    after: uuid.UUID | None = None,
    purpose: str | None = None,
    order: Literal["asc", "desc"] = "desc",
) -> tuple[list[FileView], bool]:
    """The tenant's files, at most `limit`, and whether there are more."""
    with scope(session, caller.tenant_id):
        found = files.page(
            session,
            caller.tenant_id,
            limit=limit + 1,
            after=after,
            purpose=purpose,
            newest_first=order == "desc",
        )
    return [view(row) for row in found[:limit]], len(found) > limit


def get(session: Session, caller: Caller, file_id: uuid.UUID) -> FileView:
    """Raises `NotFound`."""
    with scope(session, caller.tenant_id):
        row = files.find(session, caller.tenant_id, file_id)
    return view(_there(row))


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes, to be read by ranges as often as is wanted, each piece of them when it is asked for."""

    file: FileView
    stores: Stores
    tenant_id: uuid.UUID
    parts: tuple[Part, ...]

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Those from `start` on and before `end`, piece by piece. Raises `Unavailable`, also between two of them."""
        return keeping.read(self.stores, self.tenant_id, self.parts, start, self.file.bytes if end is None else end)


def content(stores: Stores, caller: Caller, file_id: uuid.UUID) -> Content:
    """Raises `NotFound`."""
    return content_of(stores, caller.tenant_id, file_id)


def content_of(stores: Stores, tenant_id: uuid.UUID, file_id: uuid.UUID) -> Content:
    """`content` where only the tenant is known."""
    with stores.transactions.begin() as session, scope(session, tenant_id):
        row = _there(files.find(session, tenant_id, file_id))
        found = parts.of_file(session, tenant_id, file_id)
    return Content(view(row), stores, tenant_id, tuple(keeping.parts_of(found)))


def delete(stores: Stores, caller: Caller, file_id: uuid.UUID) -> None:
    """Deletes the file, after what was made of it in vector stores, in transactions that are short. Then its bytes are
    erased, at once or else soon. Raises `NotFound`.

    From the first transaction on nobody finds the file; what is left where that is the last goes as if it had expired.
    """
    tenant_id, more = caller.tenant_id, True
    with stores.transactions.begin() as session, scope(session, tenant_id):
        _there(files.find(session, tenant_id, file_id, lock=True))
        files.end(session, tenant_id, [file_id])
    while more:
        with stores.transactions.begin() as session, scope(session, tenant_id):
            more = attached.remove_some(session, tenant_id, [file_id], DOCUMENTS_AT_ONCE)
    with stores.transactions.begin() as session, scope(session, tenant_id):
        files.end(session, tenant_id, [file_id])  # locked before its parts, as the chore does that takes it for expired
        left = parts.loosen(session, tenant_id, files=[file_id])
        files.remove(session, tenant_id, [file_id])
    keeping.erase_soon(stores, tenant_id, keeping.parts_of(left))


def view(row: files.File) -> FileView:
    return FileView(row.id, row.filename, row.purpose, row.bytes, row.created_at, row.expires_at)


def _there(row: files.File | None) -> files.File:
    if row is None:
        raise errors.NotFound("no such file")
    return row
