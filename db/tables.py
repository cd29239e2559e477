"""All tables, for Alembic and for tests that compare it with what the migrations make."""

from db import (
    attempts,
    chunks,
    documents,
    idempotency,
    jobs,
    keys,
    ledger,
    tenants,
    turns,
    vectors,
    webhooks,
    windows,
    workers,
)
from db.session import Table

__all__ = [
    "attempts",
    "chunks",
    "documents",
    "idempotency",
    "jobs",
    "keys",
    "ledger",
    "metadata",
    "tenants",
    "turns",
    "vectors",
    "webhooks",
    "windows",
    "workers",
]

metadata = Table.metadata
