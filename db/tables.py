"""All tables, for Alembic and for tests that compare it with what the migrations make."""

from db import (
    attempts,
    chunks,
    documents,
    idempotency,
    jobs,
    keys,
    tenants,
    turns,
    usage,
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
    "metadata",
    "tenants",
    "turns",
    "usage",
    "vectors",
    "webhooks",
    "windows",
    "workers",
]

metadata = Table.metadata
