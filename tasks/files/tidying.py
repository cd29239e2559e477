"""What is over: expired files and uploads, bytes that are left over, and all that a tenant has when it leaves."""

import uuid
from collections.abc import Callable, Collection, Iterator

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from db.files import files, parts, uploads
from db.scope import over_walls, scope
from db.vectorstores import attached
from tasks.files import keeping
from tasks.files.files import DOCUMENTS_AT_ONCE
from tasks.files.keeping import Part
from tasks.files.stores import Stores

FORGET_UPLOADS_S = 86_400.0  # an upload that has ended can be asked about for so long
_AT_ONCE, _ERASED_AT_ONCE = 100, 20
_FILES_AT_ONCE = 20


def due(session: Session, stores: Stores, limit: int) -> list[uuid.UUID]:
    """Tenants that have something for `tidy`, at most so many, drawn by lot."""
    over = union(files.due(), uploads.due(FORGET_UPLOADS_S), parts.due(keeping.SILENT_S, stores.names))
    return over_walls(session, select(over.subquery().c.tenant_id), limit)


def tidy(stores: Stores, tenant_id: uuid.UUID, in_time: Callable[[], bool]) -> bool:
    """Takes away what is over of the tenant's. False when there was no time left for all of it.

    Safe to repeat, beside others too. Raises `Unavailable` where bytes can't be erased now.
    """
    while True:
        with stores.transactions.begin() as session, scope(session, tenant_id):
            more = _end(session, tenant_id)
            drawn = parts.draw(session, tenant_id, keeping.SILENT_S, _ERASED_AT_ONCE, stores.names)
            left = keeping.parts_of(drawn)
        for part in left:
            if not in_time():
                return False
            keeping.erase(stores, tenant_id, part)
        if not more and len(left) < _ERASED_AT_ONCE:
            return True
        if not in_time():
            return False


def _end(session: Session, tenant_id: uuid.UUID) -> bool:
    """Ends what has expired, and forgets uploads that ended long ago; whether there may be more."""
    late = uploads.late(session, tenant_id, _AT_ONCE)
    ended = uploads.ended(session, tenant_id, FORGET_UPLOADS_S, _AT_ONCE)
    old = files.expired(session, tenant_id, _FILES_AT_ONCE)
    whole = len(old) == _FILES_AT_ONCE
    if old and attached.remove_some(session, tenant_id, old, DOCUMENTS_AT_ONCE):
        old, whole = [], True
    if late or ended or old:
        parts.loosen(session, tenant_id, files=old, uploads=[*late, *ended])
        uploads.end(session, tenant_id, late, "expired")
        uploads.remove(session, tenant_id, ended)
        files.remove(session, tenant_id, old)
    return _AT_ONCE in (len(late), len(ended)) or whole


def leave(stores: Stores, tenant_id: uuid.UUID) -> Iterator[tuple[str, int]]:
    """Erases all files of the tenant, lot by lot, each committed; of what and how many each lot was.

    What is being written comes to nothing, and goes once its writer has noticed or been silent for `SILENT_S`. That is
    left, and what others hold: run it again. Raises `Unavailable` where bytes can't be erased now.
    """
    while True:
        with stores.transactions.begin() as session, scope(session, tenant_id):
            some = files.some(session, tenant_id, _AT_ONCE)
            open_ = uploads.some(session, tenant_id, _AT_ONCE)
            parts.loosen(session, tenant_id, files=some, uploads=open_)
            files.remove(session, tenant_id, some)
            uploads.remove(session, tenant_id, open_)
        yield from (lot for lot in (("files", len(some)), ("uploads", len(open_))) if lot[1])
        if not some and not open_:
            break
    with stores.transactions.begin() as session, scope(session, tenant_id):
        parts.loosen_all(session, tenant_id)
    for names in (stores.names, None):  # what can be erased first
        while left := _drawn(stores, tenant_id, names):
            for part in left:
                keeping.erase(stores, tenant_id, part)
                yield "file_parts", 1


def _drawn(stores: Stores, tenant_id: uuid.UUID, names: Collection[str] | None) -> list[Part]:
    with stores.transactions.begin() as session, scope(session, tenant_id):
        return keeping.parts_of(parts.draw(session, tenant_id, keeping.SILENT_S, _ERASED_AT_ONCE, names))
