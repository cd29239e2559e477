"""Vector stores: made, found, listed, changed, deleted. Functions take a session, never commit, and open the tenant's
scope.

A store is a collection under the store's id, and what OpenAI says of it beside that.
"""

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from db.documents import collections
from db.scope import over_walls, scope
from db.session import Transactions
from db.vectorstores import attached, pages
from db.vectorstores import stores as table
from tasks import errors, ids
from tasks.documents import homes
from tasks.keys import Caller
from tasks.models.catalog import Catalog
from tasks.vectorstores import counting
from tasks.vectorstores.counting import Counts

Page = pages.Page

_EMPTIED_AT_ONCE = 20  # documents, each with its chunks


@dataclass(frozen=True, slots=True)
class StoreView:
    """What is told of a store. `usage_bytes` are those of its files that can be searched."""

    id: uuid.UUID
    name: str
    description: str | None
    metadata: Mapping[str, str]
    status: Literal["expired", "in_progress", "completed"]
    counts: Counts
    usage_bytes: int
    expires_days: int | None
    created_at: dt.datetime
    last_active_at: dt.datetime
    expires_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What is said of a new store."""

    name: str = ""
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    expires_days: int | None = None


def collection_name(store_id: uuid.UUID) -> str:
    """What the store's collection is called."""
    return ids.show(store_id, ids.VECTOR_STORE)


def is_of_store(collection: str) -> bool:
    """Whether a collection of this name is a store's, where there is one."""
    return ids.parse(collection, ids.VECTOR_STORE) is not None


def create(session: Session, models: Catalog, caller: Caller, wish: Wish) -> uuid.UUID:
    """A new store, without files. Raises `ModelUnknown` where no model embeds."""
    store_id = ids.new()
    homes.made(session, models, caller.tenant_id, collection_name(store_id), store_id)
    row = table.VectorStore(
        id=store_id,
        tenant_id=caller.tenant_id,
        name=wish.name,
        description=wish.description,
        labels=dict(wish.metadata or {}),
        expires_days=wish.expires_days,
    )
    with scope(session, caller.tenant_id):
        table.add(session, row)
    return store_id


def get(session: Session, caller: Caller, store_id: uuid.UUID) -> StoreView:
    """Raises `NotFound`."""
    with scope(session, caller.tenant_id):
        found = table.find(session, caller.tenant_id, store_id)
    return _views(session, caller, [_there(found)])[0]


def page(session: Session, caller: Caller, wanted: Page) -> tuple[list[StoreView], bool]:
    """The tenant's stores, and whether there are more."""
    more = Page(wanted.limit + 1, wanted.after, wanted.before, wanted.newest_first)
    with scope(session, caller.tenant_id):
        found, is_more = counting.cut(list(table.page(session, caller.tenant_id, more)), wanted)
    return _views(session, caller, found), is_more


def change(session: Session, caller: Caller, store_id: uuid.UUID, **values: Any) -> StoreView:
    """Changes its `name`, `metadata` or `expires_days`. Raises `NotFound`, and `Conflict` once it has expired."""
    with scope(session, caller.tenant_id):
        _require_alive(table.find(session, caller.tenant_id, store_id, "change"), store_id)
        if "metadata" in values:
            values["labels"] = values.pop("metadata")
        if values:
            table.change(session, caller.tenant_id, store_id, **values)
    return get(session, caller, store_id)


def delete(transactions: Transactions, caller: Caller, store_id: uuid.UUID) -> None:
    """Deletes the store with all that was made of its files, in transactions that are short; the files stay. Raises
    `NotFound`.

    From the first on it has expired, so that nothing is attached meanwhile: where that is the last, it is left so.
    """
    with transactions.begin() as session, scope(session, caller.tenant_id):
        _, expired = _there(table.find(session, caller.tenant_id, store_id, "end"))
        if not expired:
            table.expire(session, caller.tenant_id, store_id)
    gone = True
    while gone:
        with transactions.begin() as session, scope(session, caller.tenant_id):
            gone = table.empty(session, caller.tenant_id, store_id, _EMPTIED_AT_ONCE) > 0
    with transactions.begin() as session, scope(session, caller.tenant_id):
        collections.remove(session, caller.tenant_id, collection_name(store_id))


def require(session: Session, caller: Caller, store_id: uuid.UUID) -> None:
    """Raises `NotFound`."""
    with scope(session, caller.tenant_id):
        _there(table.find(session, caller.tenant_id, store_id))


def require_alive(session: Session, caller: Caller, store_id: uuid.UUID, *, keep: bool = False) -> None:
    """Raises `NotFound`, and `Conflict` once it has expired; `keep` holds that off until the transaction ends."""
    with scope(session, caller.tenant_id):
        if keep:
            collections.find(session, caller.tenant_id, collection_name(store_id), keep=True)
        _require_alive(table.find(session, caller.tenant_id, store_id, "keep" if keep else None), store_id)


def refused(session: Session, caller: Caller, store_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Why those of the stores can't be searched that aren't there, or have expired."""
    wanted = list(store_ids)
    with scope(session, caller.tenant_id):
        expired = table.expired(session, caller.tenant_id, wanted)
    gone = dict.fromkeys((id for id in wanted if id not in expired), "no such vector store")
    return gone | {id: str(_ended(id)) for id, is_over in expired.items() if is_over}


def use(session: Session, caller: Caller, store_ids: Iterable[uuid.UUID]) -> None:
    """Notes that these stores are used now, by which they live on."""
    with scope(session, caller.tenant_id):
        table.used(session, caller.tenant_id, list(store_ids))


def searched(session: Session, caller: Caller, collection: str) -> None:
    """Notes that a collection is searched by its name, where it is a store's: that is a use like any. Raises `Conflict`
    once the store has expired."""
    store_id = ids.parse(collection, ids.VECTOR_STORE)
    if store_id is None:
        return
    with scope(session, caller.tenant_id):
        found = table.find(session, caller.tenant_id, store_id)
    if found is not None:
        _require_alive(found, store_id)
        use(session, caller, [store_id])


def due(session: Session, limit: int) -> list[uuid.UUID]:
    """Tenants that have stores for `tidy`, at most so many, drawn by lot."""
    return over_walls(session, table.due(), limit)


def tidy(transactions: Transactions, tenant_id: uuid.UUID, in_time: Callable[[], bool]) -> bool:
    """Deletes the documents of the tenant's stores that have expired. False when there was no time left for all.

    Safe to repeat, beside others too.
    """
    while in_time():
        with transactions.begin() as session, scope(session, tenant_id):
            store_id = table.lapsed(session, tenant_id)
            if store_id is None:
                return True
            gone = table.empty(session, tenant_id, store_id, _EMPTIED_AT_ONCE)
            if not gone and not table.emptied(session, tenant_id, store_id):
                return True  # others hold what is left: it is looked at again the next time
    return False


def _views(session: Session, caller: Caller, found: list[table.Found]) -> list[StoreView]:
    if not found:
        return []
    counts: dict[uuid.UUID, Counts] = defaultdict(Counts)
    counts |= counting.by_collection(session, caller, attached.of_collection([row.id for row, _ in found]))
    return [_view(row, expired, counts[row.id]) for row, expired in found]


def _view(row: table.VectorStore, expired: bool, counts: Counts) -> StoreView:
    return StoreView(
        id=row.id,
        name=row.name,
        description=row.description,
        metadata=row.labels,
        status="expired" if expired else "in_progress" if counts.in_progress else "completed",
        counts=counts,
        usage_bytes=counts.bytes,
        expires_days=row.expires_days,
        created_at=row.created_at,
        last_active_at=row.last_active_at,
        expires_at=row.expires_at,
    )


def _there(found: table.Found | None) -> table.Found:
    if found is None:
        raise errors.NotFound("no such store")
    return found


def _require_alive(found: table.Found | None, store_id: uuid.UUID) -> None:
    _, expired = _there(found)
    if expired:
        raise _ended(store_id)


def _ended(store_id: uuid.UUID) -> errors.Conflict:
    return errors.Conflict(f"{ids.show(store_id, ids.VECTOR_STORE)} has expired: make another of its files")
