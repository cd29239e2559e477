"""All tables, for Alembic and for tests that compare it with what the migrations make."""

from db import (
    attempts,
    batch_results,
    batches,
    checkpoints,
    conversations,
    epochs,
    idempotency,
    jobs,
    keys,
    ledger,
    model_changes,
    rounds,
    summaries,
    takeovers,
    tenants,
    turns,
    twins,
    usage,
    vectors,
    windows,
    workers,
)
from db.documents import chunks, collections, documents, reembedding, words
from db.files import files, parts, uploads
from db.session import Table
from db.webhooks import deliveries, endpoints, secrets

__all__ = [
    "attempts",
    "batch_results",
    "batches",
    "checkpoints",
    "chunks",
    "collections",
    "conversations",
    "deliveries",
    "documents",
    "endpoints",
    "epochs",
    "files",
    "idempotency",
    "jobs",
    "keys",
    "ledger",
    "metadata",
    "model_changes",
    "parts",
    "reembedding",
    "rounds",
    "secrets",
    "summaries",
    "takeovers",
    "tenants",
    "turns",
    "twins",
    "uploads",
    "usage",
    "vectors",
    "windows",
    "words",
    "workers",
]

metadata = Table.metadata
