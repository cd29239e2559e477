"""Ground for tests of documents: rows as an ingest job leaves them, without the job."""

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from db.documents import chunks, collections, documents
from db.scope import scope
from db.session import Sessions
from tasks import ids, kinds
from tasks.documents import ingest
from tasks.documents.chunking import Piece
from tasks.documents.ingest import NewDocument
from tasks.jobs import jobs
from tasks.jobs.requests import Submission
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.kinds.ingest import Ingest
from tasks.models.catalog import Catalog
from tests import tables

Floats = np.ndarray[Any, np.dtype[np.float32]]


def bring(
    session: Session,
    caller: Caller,
    name: str,
    new: Sequence[NewDocument],
    *,
    model: str | None = None,
    models: Catalog = tables.MODELS,
) -> JobView:
    """The job that ingests these, as the desk would accept it in a transaction of the test's."""
    asked = Submission("ingest", model, Ingest(name, tuple(new)))
    return jobs.insert(session, caller, kinds.plan(session, models, caller, asked))[0]


def collection(session: Session, tenant_id: uuid.UUID, name: str = "books", *, dimensions: int = 384) -> uuid.UUID:
    """A collection without documents."""
    made = ids.new()
    with scope(session, tenant_id):
        collections.add(session, id=made, tenant_id=tenant_id, name=name, model="embedder", dimensions=dimensions)
    return made


def document(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, **changes: Any) -> uuid.UUID:
    """A document that waits."""
    values = {
        "id": ids.new(),
        "tenant_id": tenant_id,
        "collection_id": collection_id,
        "job_id": ids.new(),
        "kind": "text",
        "bytes": 3,
        "status": "pending",
    }
    with scope(session, tenant_id):
        documents.add(session, values | changes, raw=None, text="one")
    made = (values | changes)["id"]
    assert isinstance(made, uuid.UUID)
    return made


def fill(
    session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, document_id: uuid.UUID, texts: list[str],
    vectors: Floats, *, config: str = "english",
) -> None:  # fmt: skip
    """Makes these the document's chunks, and it ready."""
    rows = [
        {
            "document_id": document_id,
            "number": number,
            "tenant_id": tenant_id,
            "collection_id": collection_id,
            "text": text,
            "indexed": text,
            "tokens": 1,
            "embedding": vector,
        }
        for number, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]
    with scope(session, tenant_id):
        chunks.add(session, rows, config=config, usual_tokens=96)
        documents.set_status(session, tenant_id, document_id, status="ready", chunks=len(rows), tokens=len(rows))


def filled(
    sessions: Sessions, caller: Caller, texts: list[str], vectors: Floats, *, config: str = "english", **labels: Any
) -> uuid.UUID:
    """A collection with one document of these chunks."""
    with sessions.begin() as session:
        home = collection(session, caller.tenant_id, dimensions=vectors.shape[1])
        document_id = document(session, caller.tenant_id, home, labels=labels)
        fill(session, caller.tenant_id, home, document_id, texts, vectors, config=config)
    return home


def store(
    session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, pieces: Sequence[Piece], vectors: Floats
) -> bool:
    """Makes these the document's chunks, as a worker does."""
    ingest.fix_dimensions(session, tenant_id, document_id, vectors.shape[1], model="embedder")
    return ingest.store(session, tenant_id, document_id, pieces, vectors, model="embedder")


def units(count: int, dimensions: int = 384, *, seed: int = 0) -> Floats:
    """Vectors of length 1 in random directions, the same for a seed."""
    drawn = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    units: Floats = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return units
