"""Drafts: files that the platform writes itself, part by part. Whoever dies leaves behind those that are whole.

A draft is a pending upload of the tenant's, of which its clients know nothing: it expires like theirs.
"""

import uuid

from sqlalchemy.orm import Session

from db.files import parts, uploads
from db.scope import scope
from tasks import errors, ids
from tasks.files import files, keeping
from tasks.files.files import FileView, Wish
from tasks.files.keeping import Part
from tasks.keys import Caller

LIVES_S = 2 * 86_400


def look(session: Session, caller: Caller, draft_id: uuid.UUID) -> list[Part] | None:
    """Its parts in their order; None where it is gone."""
    with scope(session, caller.tenant_id):
        found = uploads.find(session, caller.tenant_id, draft_id)
        if found is None or found[1] != "pending":
            return None
        return keeping.parts_of(parts.of_upload(session, caller.tenant_id, draft_id))


def add(session: Session, caller: Caller, draft_id: uuid.UUID | None, part: Part, wish: Wish) -> uuid.UUID:
    """Gives the draft a part that `keeping.kept` has written, behind those it has; begins one where none is named.

    Raises `Unavailable` where it is gone, and where that took too long.
    """
    tenant_id = caller.tenant_id
    with scope(session, tenant_id):
        draft_id = _begin(session, tenant_id, wish) if draft_id is None else _locked(session, tenant_id, draft_id)
        place = parts.count_of_upload(session, tenant_id, draft_id)
        row = parts.finish(session, tenant_id, part.id, size=part.bytes, upload_id=draft_id, place=place)
    if row is None:
        raise errors.Unavailable("it took too long; try again")
    return draft_id


def complete(session: Session, caller: Caller, draft_id: uuid.UUID, wish: Wish) -> FileView:
    """Makes a file of the draft. Raises `Unavailable` where it is gone."""
    tenant_id = caller.tenant_id
    with scope(session, tenant_id):
        whole = parts.of_upload(session, tenant_id, _locked(session, tenant_id, draft_id))
        made = files.insert(session, caller, wish, sum(part.bytes for part in whole))
        parts.compose(session, tenant_id, made.id, [part.id for part in whole])
        uploads.remove(session, tenant_id, [draft_id])
    return made


def _begin(session: Session, tenant_id: uuid.UUID, wish: Wish) -> uuid.UUID:
    row = uploads.Upload(
        id=ids.new(),
        tenant_id=tenant_id,
        filename=wish.filename,
        purpose=wish.purpose,
        mime_type="application/jsonl",
        bytes=0,  # nobody knows yet
        kept_s=wish.kept_s,
    )
    uploads.add(session, row, LIVES_S)
    return row.id


def _locked(session: Session, tenant_id: uuid.UUID, draft_id: uuid.UUID) -> uuid.UUID:
    found = uploads.find(session, tenant_id, draft_id, lock=True)
    if found is None or found[1] != "pending":
        raise errors.Unavailable("what had been written is gone: it is to be written again")
    return draft_id
