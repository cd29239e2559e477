"""All tables, for Alembic and for tests that compare it with what the migrations make."""

from db import chunks, documents, jobs, keys, tenants, usage, vectors, webhooks, workers
from db.session import Table

__all__ = ["chunks", "documents", "jobs", "keys", "metadata", "tenants", "usage", "vectors", "webhooks", "workers"]

metadata = Table.metadata
