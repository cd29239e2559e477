"""What a tenant has, taken from it table by table, in lots. Its jobs go by `removing`; the ledger and usage stay."""

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, delete, exists, or_, select, tuple_
from sqlalchemy.orm import Session

from db.batches import Batch
from db.conversations import Conversation
from db.documents.collections import Collection
from db.documents.documents import Document
from db.files.files import File
from db.files.parts import FilePart
from db.files.uploads import Upload
from db.idempotency import IdempotencyKey
from db.jobs import MOVING, Job
from db.keys import Key
from db.summaries import SummaryStep
from db.turns import Turn
from db.vectorstores.stores import VectorStore
from db.webhooks.deliveries import Delivery
from db.webhooks.endpoints import Endpoint
from db.webhooks.secrets import Secret

# In this order they are ended: a parent before a child whose end would move it on.
UNFINISHED = ("waiting", "running", "dispatched", "queued", "scheduled")


class Own(NamedTuple):
    """A table with a tenant's rows, how many go at once, and whether they are behind the second wall."""

    table: Any
    at_once: int
    walled: bool = False


# In an order in which nothing names what went before. A document takes its text and chunks with it, a collection what
# was counted of it, by the tables' own references: so few of them go at once.
TABLES = (
    Own(Delivery, 500),
    Own(Secret, 500),
    Own(Endpoint, 500),
    Own(IdempotencyKey, 1000),
    Own(Turn, 1000),
    Own(Document, 20, walled=True),
    Own(VectorStore, 500, walled=True),
    Own(Collection, 5, walled=True),
    Own(SummaryStep, 1000, walled=True),
    Own(Batch, 1000),
    Own(Conversation, 20, walled=True),  # with its items
    Own(Key, 500),
)

# What goes with its bytes, which another room erases.
FILES = (Own(File, 0, walled=True), Own(Upload, 0, walled=True), Own(FilePart, 0, walled=True))


def remove_some(session: Session, tenant_id: uuid.UUID, own: Own) -> int:
    """Removes some of the tenant's rows that no other transaction holds; how many.

    Those behind the second wall within `scope.scope` of the tenant.
    """
    key = tuple(own.table.__table__.primary_key.columns)
    some = select(*key).where(own.table.tenant_id == tenant_id).limit(own.at_once)
    rows = session.execute(some.with_for_update(skip_locked=True)).all()
    if not rows:
        return 0
    which = tuple_(*key).in_([tuple(row) for row in rows])
    session.execute(delete(own.table).where(which), execution_options={"synchronize_session": False})
    return len(rows)


def has_any(session: Session, tenant_id: uuid.UUID, own: Own) -> bool:
    """Whether the tenant has such a row: of those behind the second wall within `scope.scope` of the tenant."""
    return bool(session.scalar(select(exists().where(own.table.tenant_id == tenant_id))))


def resting(session: Session, tenant_id: uuid.UUID, limit: int) -> Sequence[uuid.UUID]:
    """Jobs of the tenant that have ended and are no children, at most `limit`."""
    return session.scalars(_resting(tenant_id).where(Job.finished_at.is_not(None)).limit(limit)).all()


def any_job(session: Session, tenant_id: uuid.UUID) -> bool:
    """Whether the tenant has a job: a parent's children are there no longer than it is."""
    if session.scalar(_resting(tenant_id).limit(1)):
        return True
    unfinished = [exists().where(Job.tenant_id == tenant_id, Job.status == status) for status in UNFINISHED]
    return bool(session.scalar(select(or_(*unfinished))))


def _resting(tenant_id: uuid.UUID) -> Select[uuid.UUID]:
    """Sorted as `jobs_listed` is, so that PostgreSQL takes no other way: where few are left it may read all jobs."""
    own = (Job.tenant_id == tenant_id, Job.parent_id.is_(None), Job.status.not_in(MOVING))
    return select(Job.id).where(*own).order_by(Job.tenant_id, Job.status, Job.type, Job.model, Job.id)
