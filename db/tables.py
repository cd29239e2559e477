"""All tables, for Alembic and for tests that compare it with what the migrations make."""

from db import chunks, documents, jobs, keys, tenants, usage, workers
from db.session import Table

__all__ = ["chunks", "documents", "jobs", "keys", "metadata", "tenants", "usage", "workers"]

metadata = Table.metadata
