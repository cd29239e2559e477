"""Uploads: files that come in parts, each in a request of its own, and are made of them in the end."""

import datetime as dt
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from sqlalchemy.orm import Session

from db.files import files as file_rows
from db.files import parts, uploads
from db.scope import scope
from tasks import errors, ids
from tasks.files import files, keeping
from tasks.files.files import FileView, Wish
from tasks.files.keeping import Part
from tasks.files.stores import Stores
from tasks.keys import Caller

LIVES_S = 3600
MAX_PARTS = 10_000

Status = Literal["pending", "completed", "cancelled", "expired"]


@dataclass(frozen=True, slots=True)
class UploadView:
    """What is told of an upload; its file once it is completed, as long as that is there."""

    id: uuid.UUID
    filename: str
    purpose: str
    bytes: int
    status: Status
    created_at: dt.datetime
    expires_at: dt.datetime
    file: FileView | None = None


@dataclass(frozen=True, slots=True)
class PartView:
    id: uuid.UUID
    upload_id: uuid.UUID
    created_at: dt.datetime


def create(session: Session, caller: Caller, wish: Wish, *, size: int, mime_type: str, most: int) -> UploadView:
    """Begins one of so many bytes, of the `most` that the tenant may keep in all. Raises `LimitReached`."""
    row = uploads.Upload(
        id=ids.new(),
        tenant_id=caller.tenant_id,
        filename=wish.filename,
        purpose=wish.purpose,
        mime_type=mime_type,
        bytes=size,
        kept_s=wish.kept_s,
    )
    with scope(session, caller.tenant_id):
        there = parts.kept_bytes(session, caller.tenant_id)
        if there + size > most:
            raise keeping.too_much("bytes", there, most)
        uploads.add(session, row, LIVES_S)
    return _view(row, "pending")


def require_pending(session: Session, caller: Caller, upload_id: uuid.UUID, *, lock: bool = False) -> UploadView:
    """The upload, which may still get parts. Raises `NotFound`, or `Conflict` where it has ended."""
    with scope(session, caller.tenant_id):
        found = _find(session, caller, upload_id, lock=lock)
    _refuse_ended(found)
    return found


def add_part(session: Session, caller: Caller, upload_id: uuid.UUID, part: Part) -> PartView:
    """Gives the upload a part that `keeping.kept` has written for it. Raises like `require_pending`, `LimitReached` for
    too many parts, and `Unavailable` where it took too long."""
    require_pending(session, caller, upload_id, lock=True)
    with scope(session, caller.tenant_id):
        if parts.count_of_upload(session, caller.tenant_id, upload_id) >= MAX_PARTS:
            raise errors.LimitReached("data", f"an upload has at most {MAX_PARTS} parts")
        row = parts.finish(session, caller.tenant_id, part.id, size=part.bytes)
    if row is None:
        raise errors.Unavailable("it took too long; try again")
    return PartView(row.id, upload_id, row.created_at)


def complete(
    stores: Stores, caller: Caller, upload_id: uuid.UUID, part_ids: Sequence[uuid.UUID], md5: str | None
) -> UploadView:
    """Makes a file of these parts in this order; the others are erased. Idempotent.

    Raises `NotFound`, `Conflict` where it has ended in another way, `InvalidField` for a part that isn't the upload's,
    and for bytes that are others than was said.
    """
    tenant_id = caller.tenant_id
    with stores.transactions.begin() as session, scope(session, tenant_id):
        before = _find(session, caller, upload_id, lock=True)
        if _made_of(session, caller, before, part_ids):
            return before
        _refuse_ended(before)
        chosen = _chosen(session, caller, before, part_ids)
    if md5 is not None:
        _compare(stores, caller, chosen, before.bytes, md5)
    with stores.transactions.begin() as session, scope(session, tenant_id):
        upload = _find(session, caller, upload_id, lock=True)
        if _made_of(session, caller, upload, part_ids):  # for the same request, which came twice
            return upload
        _refuse_ended(upload)
        row = _row(session, caller, upload_id)
        made = files.insert(session, caller, Wish(row.filename, row.purpose, row.kept_s), upload.bytes)
        parts.compose(session, tenant_id, made.id, part_ids)
        left = parts.loosen(session, tenant_id, uploads=[upload_id])
        row.status, row.file_id = "completed", made.id
        session.flush()
        done = _view(row, "completed", made)
    keeping.erase_soon(stores, tenant_id, keeping.parts_of(left))
    return done


def cancel(stores: Stores, caller: Caller, upload_id: uuid.UUID) -> UploadView:
    """Ends it without a file; its parts are erased. Idempotent. Raises `NotFound`, and `Conflict` where it has ended in
    another way."""
    tenant_id = caller.tenant_id
    with stores.transactions.begin() as session, scope(session, tenant_id):
        found = _find(session, caller, upload_id, lock=True)
        if found.status not in ("pending", "cancelled"):
            raise errors.Conflict(f"the upload is {found.status}")
        uploads.end(session, tenant_id, [upload_id], "cancelled")
        left = parts.loosen(session, tenant_id, uploads=[upload_id])
    keeping.erase_soon(stores, tenant_id, keeping.parts_of(left))
    return replace(found, status="cancelled")


def _refuse_ended(upload: UploadView) -> None:
    if upload.status != "pending":
        raise errors.Conflict(f"the upload is {upload.status}")


def _chosen(session: Session, caller: Caller, upload: UploadView, part_ids: Sequence[uuid.UUID]) -> list[Part]:
    """The parts of these ids, which together have as many bytes as the upload said. Within the tenant's scope."""
    there = {row.id: row for row in parts.of_upload(session, caller.tenant_id, upload.id)}
    for number, part_id in enumerate(part_ids):
        if part_id not in there:
            raise errors.InvalidField(f"part_ids.{number}", "no part of this upload")
    if len(set(part_ids)) < len(part_ids):
        raise errors.InvalidField("part_ids", "a part is named twice")
    chosen = keeping.parts_of(there[part_id] for part_id in part_ids)
    size = sum(part.bytes for part in chosen)
    if size != upload.bytes:
        raise errors.InvalidField("part_ids", f"the parts have {size} bytes, the upload was to have {upload.bytes}")
    return chosen


def _compare(stores: Stores, caller: Caller, chosen: Sequence[Part], size: int, md5: str) -> None:
    found = hashlib.md5(usedforsecurity=False)
    for piece in keeping.read(stores, caller.tenant_id, chosen, 0, size):
        found.update(piece)
    if found.hexdigest() != md5.lower():
        raise errors.InvalidField("md5", f"the bytes that came have {found.hexdigest()}")


def _made_of(session: Session, caller: Caller, upload: UploadView, part_ids: Sequence[uuid.UUID]) -> bool:
    """Whether the upload's file is there and is made of these parts."""
    if upload.file is None:
        return False
    return [part.id for part in parts.of_file(session, caller.tenant_id, upload.file.id)] == list(part_ids)


def _find(session: Session, caller: Caller, upload_id: uuid.UUID, *, lock: bool = False) -> UploadView:
    """Within the tenant's scope. Raises `NotFound`, also for a draft (`drafts`): that is no client's."""
    found = uploads.find(session, caller.tenant_id, upload_id, lock=lock)
    if found is None or found[0].purpose in files.MADE:
        raise errors.NotFound("no such upload")
    row, status = found
    made = file_rows.find(session, caller.tenant_id, row.file_id) if row.file_id else None
    return _view(row, cast(Status, status), files.view(made) if made else None)


def _row(session: Session, caller: Caller, upload_id: uuid.UUID) -> uploads.Upload:
    found = uploads.find(session, caller.tenant_id, upload_id)
    assert found is not None
    return found[0]


def _view(row: uploads.Upload, status: Status, made: FileView | None = None) -> UploadView:
    return UploadView(row.id, row.filename, row.purpose, row.bytes, status, row.created_at, row.expires_at, made)
