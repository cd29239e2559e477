"""What can be done with documents. Every function takes a session, never commits, and opens the tenant's scope itself.

A document is `pending` until its ingest job made it `ready`, or found that it can't be (`failed`).
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import chunks, documents
from db.chunks import Hit
from db.documents import DocumentText, Kind
from db.jobs import Job, JobInput
from db.scope import scope
from tasks import catalog, errors, ids, jobs, stages
from tasks.catalog import Catalog, Model
from tasks.chunking import Piece
from tasks.keys import Caller
from tasks.record import Record
from tasks.timing import ANY_TIME, Timing

Floats = np.ndarray[Any, np.dtype[np.float32]]
Scalar = str | int | float | bool

MAX_CHARACTERS = 4_000_000  # of one document's text, whether it comes so or is found in a file

# Of each ranking so many are fused, and twice as many as are asked for at least.
_DEPTH = 50
# Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods",
# SIGIR 2009: each ranking gives an item 1 / (60 + its place).
_FUSION_K = 60
# Up to here every chunk is looked at: that misses nothing, and takes some 8 ms. Beyond, a vector in the index costs as
# much to look at as so many in a row (both measured; see docs/adr/0007).
FEW_CHUNKS = 20_000
WALK_COST = 30


@dataclass(frozen=True, slots=True)
class NewDocument:
    """What a client brings: a text, or a file (`raw`) whose text is still to be found, its shape already checked."""

    text: str | None
    raw: bytes | None
    kind: Kind
    title: str | None
    filename: str | None
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pending:
    """A document that waits for its chunks; `bytes` is the size of what the client brought."""

    id: uuid.UUID
    kind: Kind
    bytes: int


@dataclass(frozen=True, slots=True)
class Work:
    """A job's documents that are neither ready nor failed, as they came; the bytes of those that are, and of all."""

    waiting: list[Pending]
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a job's documents: how many are ready, why others failed (code, message); the tokens it spent."""

    ready: int
    failed: list[tuple[str, str]]
    tokens: int
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Home:
    """What has to be known of a collection to search it; `dimensions` is None until it has its first vectors."""

    name: str
    model: str
    dimensions: int | None


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of documents; `dimensions` is None until it has its first vectors, `chunks` counts what's ready."""

    name: str
    model: str
    dimensions: int | None
    documents: int
    chunks: int
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that was found; `score` is the cosine similarity of its vector to the question's, -1 to 1."""

    document_id: uuid.UUID
    chunk: int
    score: float
    text: str
    metadata: dict[str, Any]
    title: str | None

    def as_json(self) -> dict[str, Any]:
        """The passage as answers, events and results show it."""
        return {
            "document_id": ids.show(self.document_id, ids.DOCUMENT),
            "chunk": self.chunk,
            "score": self.score,
            "text": self.text,
            "title": self.title,
            "metadata": self.metadata,
        }


def ingest(
    session: Session,
    models: Catalog,
    caller: Caller,
    collection: str,
    model: str | None,
    new: Sequence[NewDocument],
    lane: str,
    priority: int,
    metadata: Mapping[str, str],
    timing: Timing = ANY_TIME,
) -> Record:
    """Accepts the documents and the job that ingests them; makes the collection when there is none of this name.

    The collection's model is `model`, else the catalogue's default for embeddings. See `jobs.insert` for what
    follows. Raises `ModelUnknown`, and `InvalidField` when the collection has another model, or for the job's times.
    """
    with scope(session, caller.tenant_id):
        home, embedder = _home(session, models, caller.tenant_id, collection, model)
    document_ids = [ids.new() for _ in new]
    # Texts go straight to the embedding model; files first to the control worker, which finds the text in them.
    stage, queue = stages.EMBED_DOCUMENTS, embedder.name
    if any(document.text is None for document in new):
        stage, queue = stages.EXTRACT, catalog.CONTROL
    plan = jobs.Plan(
        type=stages.INGEST,
        stage=stage,
        model=queue,
        shown_model=embedder.name,
        input={"collection": collection, "documents": [ids.show(id, ids.DOCUMENT) for id in document_ids]},
        params={},
        lane=lane,
        priority=priority,
        metadata=metadata,
        timing=timing,
    )
    accepted = jobs.insert(session, caller, plan)
    with scope(session, caller.tenant_id):
        for document_id, document in zip(document_ids, new, strict=True):
            _add(session, caller.tenant_id, home.id, accepted.id, document_id, document)
    return accepted


def work(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Work:
    """What there is to do for the job, and what is done."""
    with scope(session, tenant_id):
        rows = documents.work(session, tenant_id, job_id)
    waiting = [Pending(id, kind, size) for id, kind, size, status in rows if status == "pending"]
    total = sum(size for _, _, size, _ in rows)
    return Work(waiting, total - sum(document.bytes for document in waiting), total)


def raw(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> bytes | None:
    """The file; None when its text was found already, or the document is gone."""
    with scope(session, tenant_id):
        return documents.contents(session, tenant_id, document_id, DocumentText.raw)


def text(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> str | None:
    """The text; None when it wasn't found yet, or the document is gone."""
    with scope(session, tenant_id):
        return documents.contents(session, tenant_id, document_id, DocumentText.text)


def extracted(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, text: str) -> None:
    """Keeps the text that was found, and drops the file. Idempotent; does nothing when the document is gone."""
    with scope(session, tenant_id):
        documents.set_text(session, tenant_id, document_id, text)


def failed(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, code: str, message: str) -> None:
    """Gives the document up, and drops what it held. Idempotent; does nothing when it is ready or gone."""
    with scope(session, tenant_id):
        if documents.give_up(session, tenant_id, document_id, code, message):
            chunks.clear(session, tenant_id, document_id)
            documents.set_text(session, tenant_id, document_id, None)


def fix_dimensions(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, dimensions: int) -> None:
    """Lets the document's collection have vectors of so many dimensions, if it has none yet. Idempotent.

    Does nothing when the document is gone. Raises `DimensionsDiffer`. Others that ingest into the collection for the
    first time wait for the end of the transaction: it should do nothing else.
    """
    with scope(session, tenant_id):
        found = documents.find(session, tenant_id, document_id)
        if found is None:
            return
        document, name = found
        fixed = documents.fix_dimensions(session, tenant_id, document.collection_id, dimensions)
        if fixed is not None and fixed != dimensions:
            raise _differ(name, dimensions, fixed)


def resume(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, pieces: Sequence[Piece]) -> int:
    """How many of the document's pieces an earlier attempt has stored; drops what it cut otherwise than we do."""
    with scope(session, tenant_id):
        last = chunks.last(session, tenant_id, document_id)
        if last is None:
            return 0
        number, text = last
        if number + 1 < len(pieces) and pieces[number].text == text:
            return number + 1
        chunks.clear(session, tenant_id, document_id)
        documents.set_status(session, tenant_id, document_id, chunks=None, tokens=None)
    return 0


def store(
    session: Session,
    tenant_id: uuid.UUID,
    document_id: uuid.UUID,
    pieces: Sequence[Piece],
    vectors: Floats,
    *,
    first: int = 0,
    last: bool = True,
) -> bool:
    """Adds chunks, numbered from `first` on; the last ones make the document ready, and all can be found.

    `vectors` are (len(pieces), d), of length 1, and `fix_dimensions` has been asked about d. False when the document
    doesn't wait any more, or is gone. It can't be deleted before the transaction ends, so that should be soon.
    """
    status = "ready" if last else "pending"
    tokens = sum(piece.tokens for piece in pieces)
    with scope(session, tenant_id):
        home = documents.grow(session, tenant_id, document_id, chunks=len(pieces), tokens=tokens, status=status)
        if home is None:
            return False
        rows = [
            {
                "document_id": document_id,
                "number": number,
                "tenant_id": tenant_id,
                "collection_id": home,
                "text": piece.text,
                "tokens": piece.tokens,
                "embedding": vector,
            }
            for number, (piece, vector) in enumerate(zip(pieces, vectors, strict=True), first)
        ]
        chunks.add(session, rows)
    return True


def outcome(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Ingested:
    """What became of the job's documents, of those that are still there, and all that it spent on any."""
    query = select(JobInput.input, Job.prompt_tokens).join(Job, Job.id == JobInput.job_id)
    given, tokens = session.execute(query.where(JobInput.job_id == job_id)).one()
    with scope(session, tenant_id):
        rows = [row for row, _ in documents.of_job(session, tenant_id, job_id)]
    shown = [_summary(row) for row in rows]
    return Ingested(
        ready=sum(row.status == "ready" for row in rows),
        failed=[(row.error_code, row.error_message or "") for row in rows if row.error_code],
        tokens=tokens or 0,
        result={
            "collection": given["collection"],
            "documents": shown,
            "chunks": sum(row.chunks or 0 for row in rows if row.status == "ready"),
        },
    )


def collection_of(session: Session, caller: Caller, name: str) -> Home:
    """The tenant's collection, nothing in it counted. Raises `NotFound`, for another tenant's too."""
    with scope(session, caller.tenant_id):
        found = documents.collection(session, caller.tenant_id, name)
    if found is None:
        raise no_collection(name)
    return Home(found.name, found.model, found.dimensions)


def collection(row: documents.Counted) -> Collection:
    """The value of a row."""
    kept, count, ready = row
    return Collection(kept.name, kept.model, kept.dimensions, count, ready or 0, kept.created_at)


def no_collection(name: str) -> errors.NotFound:
    return errors.NotFound(f"no collection {name[:64]}")


def search(
    session: Session,
    tenant_id: uuid.UUID,
    collection: str,
    query: str,
    vector: Floats,
    *,
    model: str,
    top_k: int,
    threshold: float | None = None,
    filter: Mapping[str, Scalar] | None = None,
) -> list[Passage]:
    """The `top_k` chunks that answer the query best, the best first: by meaning and by words, fused.

    `vector` is the query's, (d,), and `model` made it. Chunks whose `score` is under the threshold are left out, and so
    are those of documents whose metadata hasn't all of the filter's pairs. Raises `NotFound`, `CollectionGone` when
    there is another of this name, with another model's vectors, and `DimensionsDiffer`.
    """
    with scope(session, tenant_id):
        home = documents.collection(session, tenant_id, collection)
        if home is None:
            raise no_collection(collection)
        if home.model != model:
            raise errors.CollectionGone(f"the collection {collection} was made anew, for vectors of {home.model}")
        if home.dimensions is None:
            return []
        if home.dimensions != len(vector):
            raise _differ(collection, len(vector), home.dimensions)
        where = (session, tenant_id, home.id)
        depth = max(_DEPTH, 2 * top_k)
        rankings = (
            _nearest(*where, vector, depth, filter),
            chunks.worded(*where, query, vector, depth=depth, labels=filter),
        )
        hits = [hit for hit in fuse(rankings) if threshold is None or hit.similarity >= threshold][:top_k]
        texts = chunks.texts(session, tenant_id, [hit.key for hit in hits])
    # What was deleted at this moment has no text any more.
    return [_passage(hit, *texts[hit.key]) for hit in hits if hit.key in texts]


def fuse(rankings: Iterable[Sequence[Hit]]) -> list[Hit]:
    """One ranking of all that is in these, by reciprocal rank fusion; equals by similarity."""
    points: dict[Hit, float] = {}
    for ranking in rankings:
        for place, hit in enumerate(ranking, start=1):
            points[hit] = points.get(hit, 0.0) + 1 / (_FUSION_K + place)
    return sorted(points, key=lambda hit: (-points[hit], -hit.similarity, hit.key))


def _passage(hit: Hit, text: str, metadata: dict[str, Any], title: str | None) -> Passage:
    document_id, number = hit.key
    return Passage(document_id, number, round(hit.similarity, 6), text, metadata, title)


def _nearest(
    session: Session,
    tenant_id: uuid.UUID,
    collection_id: uuid.UUID,
    vector: Floats,
    depth: int,
    filter: Mapping[str, Scalar] | None,
) -> list[Hit]:
    """The ranking by meaning, through the index where that costs less than looking at every chunk.

    The index holds all tenants' chunks, so a walk passes by the more foreign ones, the smaller our part is; where it
    gives up early, or documents are filtered, every chunk is looked at.
    """
    where = (session, tenant_id, collection_id)
    if not filter:
        own, indexed = chunks.sizes(*where, len(vector))
        if indexed is not None and own > FEW_CHUNKS and own * own > WALK_COST * depth * max(own, indexed):
            hits = chunks.walk(*where, vector, dimensions=len(vector), depth=depth)
            if len(hits) == depth:
                return hits
    return chunks.nearest(*where, vector, depth=depth, labels=filter)


def _home(
    session: Session, models: Catalog, tenant_id: uuid.UUID, name: str, model: str | None
) -> tuple[documents.Collection, Model]:
    """The collection, kept until the transaction ends, and its model; it is made when there is none."""
    home = documents.collection(session, tenant_id, name, keep=True)
    if home is None:
        embedder = jobs.model_for(models, "embed", model)
        documents.add_collection(session, id=ids.new(), tenant_id=tenant_id, name=name, model=embedder.name)
        home = documents.collection(session, tenant_id, name, keep=True)
    if home is None:
        raise errors.Unavailable(f"the collection {name} was deleted at this moment; try again")
    if model is not None and model != home.model:
        raise errors.InvalidField("model", f"the collection {name} has its vectors from {home.model}")
    return home, jobs.model_for(models, "embed", home.model)


def _add(
    session: Session,
    tenant_id: uuid.UUID,
    collection_id: uuid.UUID,
    job_id: uuid.UUID,
    document_id: uuid.UUID,
    new: NewDocument,
) -> None:
    size = len(new.raw) if new.raw is not None else len((new.text or "").encode())
    values = {
        "id": document_id,
        "tenant_id": tenant_id,
        "collection_id": collection_id,
        "job_id": job_id,
        "title": new.title,
        "labels": new.metadata,
        "kind": new.kind,
        "filename": new.filename,
        "bytes": size,
        "status": "pending",
    }
    documents.add(session, values, raw=new.raw, text=new.text)


def _summary(row: documents.Document) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": ids.show(row.id, ids.DOCUMENT),
        "title": row.title,
        "filename": row.filename,
        "status": row.status,
        "chunks": row.chunks if row.status == "ready" else None,
    }
    if row.error_code:
        shown["error"] = {"code": row.error_code, "message": row.error_message or ""}
    return shown


def _differ(collection: str, got: int, expected: int) -> errors.DimensionsDiffer:
    return errors.DimensionsDiffer(
        f"the model makes vectors of {got} dimensions, the collection {collection} has {expected}"
    )
