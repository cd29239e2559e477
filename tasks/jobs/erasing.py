"""A tenant leaves: it is suspended, and all it has is erased. What it used stays in the ledger, under its id."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import redis
import structlog
from sqlalchemy.orm import Session

from db import erasing, removing, scope, tenants
from db.session import Transactions
from tasks import errors
from tasks.files import tidying
from tasks.files.stores import Stores
from tasks.jobs import endings
from tasks.jobs import removing as whole

log = structlog.get_logger(__name__)

_ENDED_AT_ONCE, _REMOVED_AT_ONCE = 200, 200

Lot = tuple[str, int]  # of what, how many


def suspend(transactions: Transactions, name: str) -> uuid.UUID:
    """Lets the tenant in no more, starts none of its jobs and sends none of its webhooks; its id. Idempotent.

    Raises `NotFound`. A process of the API may know a key for two seconds more.
    """
    with transactions.begin() as session:
        tenant_id = tenants.suspend(session, name)
    if tenant_id is None:
        raise errors.NotFound(f"no tenant {name}")
    return tenant_id


def erase(stores: Stores, client: redis.Redis, tenant_id: uuid.UUID, ttl_s: int) -> Iterator[Lot]:
    """Ends the tenant's jobs and erases all it has, lot by lot, each committed; of what and how many each lot was.

    Rows that others hold at this moment are left, with what they are a part of. What comes meanwhile may be, and bytes
    that are on their way: run it again until it finds nothing and nothing is `left`. Cut off anywhere, it goes on when
    it is run again; safe beside itself. Raises `Unavailable` where bytes of files can't be erased now.
    """
    transactions = stores.transactions
    ended: list[uuid.UUID] = []
    for status in erasing.UNFINISHED:
        while closings := endings.end_tenants(transactions, client, tenant_id, status, _ENDED_AT_ONCE, ttl_s):
            endings.follow_up(transactions, client, closings, ttl_s)
            ended += [closing.view.id for closing in closings if closing.view.started_at]
            yield "jobs ended", len(closings)
    yield from _jobs(transactions, client, tenant_id)
    yield from _rows(transactions, tenant_id)
    whole.forget_streams(client, ended)  # again: a worker that was stopped may have written a last word
    yield from tidying.leave(stores, tenant_id)  # last, as it may fail


def go_on(stores: Stores, client: redis.Redis, tenant_id: uuid.UUID, ttl_s: int, in_time: Callable[[], bool]) -> bool:
    """Goes on where `erase` was cut off, and closes when nothing is left; then erases what came late.

    False when there was no time left for all of it. Idempotent. Raises like `erase`.
    """
    transactions = stores.transactions
    for _ in erase(stores, client, tenant_id, ttl_s):
        if not in_time():
            return False
    with transactions.begin() as session:
        done = tenants.is_erased(session, tenant_id)
    if rest := left(transactions, tenant_id):
        log.warning("tenant_not_erased", tenant_id=str(tenant_id), held_in=rest)
    elif not done:
        log.info("tenant_erased", tenant_id=str(tenant_id), name=close(transactions, tenant_id))
    return True


def left(transactions: Transactions, tenant_id: uuid.UUID) -> list[str]:
    """The tables that have rows of the tenant still, of those that `erase` empties."""
    with transactions.begin() as session:
        found = ["jobs"] if erasing.any_job(session, tenant_id) else []
    for own in (*erasing.FILES, *erasing.TABLES):
        with _of(transactions, tenant_id, own) as session:
            found += [own.table.__tablename__] if erasing.has_any(session, tenant_id, own) else []
    return found


def close(transactions: Transactions, tenant_id: uuid.UUID) -> str:
    """Notes that all is erased. The name that the tenant has from now on: its old one may be given to another."""
    with transactions.begin() as session:
        return tenants.note_erased(session, tenant_id)


def _jobs(transactions: Transactions, client: redis.Redis, tenant_id: uuid.UUID) -> Iterator[Lot]:
    while True:
        with transactions.begin() as session:
            found = erasing.resting(session, tenant_id, _REMOVED_AT_ONCE)
            slow = removing.in_parts(session, found)
            removed = removing.remove(session, set(found).difference(slow))
        whole.forget_streams(client, removed)
        if removed:
            yield "jobs", len(removed)
        for job_id in slow:
            for part in whole.family(transactions, job_id):
                whole.forget_streams(client, part)
                removed += part
                yield "jobs", len(part)
        if not removed:
            return


def _rows(transactions: Transactions, tenant_id: uuid.UUID) -> Iterator[Lot]:
    """Up to the first table of which something is left: later ones have what it is a part of."""
    for own in erasing.TABLES:
        count = own.at_once
        while count:
            with _of(transactions, tenant_id, own) as session:
                count = erasing.remove_some(session, tenant_id, own)
                held = not count and erasing.has_any(session, tenant_id, own)
            if count:
                yield own.table.__tablename__, count
        if held:
            return


@contextmanager
def _of(transactions: Transactions, tenant_id: uuid.UUID, own: erasing.Own) -> Iterator[Session]:
    """A transaction that sees the tenant's rows of the table."""
    with transactions.begin() as session, scope.scope(session, tenant_id) if own.walled else nullcontext():
        yield session
