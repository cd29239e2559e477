"""A tenant leaves: it is suspended, and all it has is erased. What it used stays in the ledger, under its id."""

import uuid
from collections.abc import Iterator
from contextlib import nullcontext

import redis

from db import leaving, removing, scope, tenants
from db.session import Transactions
from tasks import errors
from tasks.files import tidying
from tasks.files.stores import Stores
from tasks.jobs import endings
from tasks.jobs import removing as whole

_ENDED_AT_ONCE, _REMOVED_AT_ONCE = 200, 200

Lot = tuple[str, int]  # of what, how many


def suspend(transactions: Transactions, name: str) -> uuid.UUID:
    """Lets the tenant in no more, and sends none of its webhooks; its id. Idempotent. Raises `NotFound`.

    A process of the API may know a key for two seconds more.
    """
    with transactions.begin() as session:
        tenant_id = tenants.suspend(session, name)
    if tenant_id is None:
        raise errors.NotFound(f"no tenant {name}")
    return tenant_id


def erase(
    transactions: Transactions, client: redis.Redis, stores: Stores, tenant_id: uuid.UUID, ttl_s: int
) -> Iterator[Lot]:
    """Ends the tenant's jobs and erases all it has, lot by lot, each committed; of what and how many each lot was.

    What others hold at this moment is left, and what comes meanwhile may be: run it again while that finds anything,
    and until the tenant `is_empty`. Cut off anywhere, it goes on when it is run again.

    Raises `Unavailable` where bytes of files can't be erased now.
    """
    ended: list[uuid.UUID] = []
    for status in leaving.UNFINISHED:
        while closings := endings.end_tenants(transactions, client, tenant_id, status, _ENDED_AT_ONCE, ttl_s):
            endings.announce(client, closings, ttl_s)
            ended += [closing.view.id for closing in closings if closing.view.started_at]
            yield "jobs ended", len(closings)
    yield from _jobs(transactions, client, tenant_id)
    yield from tidying.leave(stores, tenant_id)
    for own in leaving.TABLES:
        while count := _some(transactions, tenant_id, own):
            yield own.table.__tablename__, count
    whole.forget_streams(client, ended)  # again: a worker that was stopped may have written a last word


def is_empty(transactions: Transactions, tenant_id: uuid.UUID) -> bool:
    """Whether the tenant has no job any more."""
    with transactions.begin() as session:
        return not leaving.any_job(session, tenant_id)


def close(transactions: Transactions, tenant_id: uuid.UUID) -> str:
    """Notes that all is erased. The name that the tenant has from now on: its old one may be given to another."""
    with transactions.begin() as session:
        return tenants.note_erased(session, tenant_id)


def _jobs(transactions: Transactions, client: redis.Redis, tenant_id: uuid.UUID) -> Iterator[Lot]:
    while True:
        with transactions.begin() as session:
            found = leaving.resting(session, tenant_id, _REMOVED_AT_ONCE)
            parents = removing.parents(session, found)
            removed = removing.remove(session, set(found).difference(parents))
        whole.forget_streams(client, removed)
        if removed:
            yield "jobs", len(removed)
        for parent_id in parents:
            for part in whole.family(transactions, parent_id):
                whole.forget_streams(client, part)
                removed += part
                yield "jobs", len(part)
        if not removed:
            return


def _some(transactions: Transactions, tenant_id: uuid.UUID, own: leaving.Own) -> int:
    with transactions.begin() as session, scope.scope(session, tenant_id) if own.walled else nullcontext():
        return leaving.remove_some(session, tenant_id, own)
