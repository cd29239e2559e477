"""All tables, for Alembic and for tests that compare it with what the migrations make."""

from db import attempts, chunks, documents, idempotency, jobs, keys, tenants, usage, vectors, workers
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
    "usage",
    "vectors",
    "workers",
]

metadata = Table.metadata
