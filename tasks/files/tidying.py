"""What is over: expired files and uploads, bytes that are left over, and all that a tenant has when it leaves."""

import uuid
from collections.abc import Callable, Iterator

from db.files import files, parts, uploads
from db.scope import scope
from tasks.files import keeping
from tasks.files.stores import Stores

FORGET_UPLOADS_S = 86_400.0  # an upload that has ended can be asked about for so long
_AT_ONCE, _ERASED_AT_ONCE = 100, 20
_EVEN_ALIVE_S = -60.0


def tidy(stores: Stores, tenant_id: uuid.UUID, goes_on: Callable[[], bool]) -> None:
    """Takes away some of what is over of the tenant's, as long as it `goes_on`. Safe to repeat, beside others too."""
    with stores.transactions.begin() as session, scope(session, tenant_id):
        late = uploads.late(session, tenant_id, _AT_ONCE)
        old = files.expired(session, tenant_id, _AT_ONCE)
        if late or old:
            parts.loosen(session, tenant_id, files=old, uploads=late)
            uploads.end(session, tenant_id, late, "expired")
            files.remove(session, tenant_id, old)
        uploads.forget(session, tenant_id, FORGET_UPLOADS_S, _AT_ONCE)
        left = keeping.parts_of(parts.loose(session, tenant_id, keeping.SILENT_S, _ERASED_AT_ONCE, stores.names))
    for part in left:
        if not goes_on():
            return
        keeping.erase_soon(stores, tenant_id, [part])


def leave(stores: Stores, tenant_id: uuid.UUID) -> Iterator[tuple[str, int]]:
    """Erases all files of the tenant, lot by lot, each committed; of what and how many each lot was.

    What is being written goes too. What others hold is left: run it again. Raises `Unavailable` where bytes can't be
    erased now.
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
    while True:
        with stores.transactions.begin() as session, scope(session, tenant_id):
            left = keeping.parts_of(parts.loose(session, tenant_id, _EVEN_ALIVE_S, _ERASED_AT_ONCE))
        if not left:
            return
        keeping.erase(stores, tenant_id, left)
        yield "file_parts", len(left)
