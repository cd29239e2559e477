"""Changing a collection's embedding model: its chunks get a second vector each, and then it switches.

Until it does it is searched by the old ones. Every function takes a session, never commits, and opens the tenant's
scope.
"""

import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.documents import collections, documents, index, rankings, reembedding, unread
from db.documents.index import Large
from db.documents.reembedding import Waiting as Waiting
from db.jobs import Job
from db.scope import scope
from tasks import errors, ids
from tasks.documents import chunking
from tasks.documents.library import no_collection
from tasks.jobs import lifecycle
from tasks.models import choosing
from tasks.models.catalog import Catalog, Model


@dataclass(frozen=True, slots=True)
class State:
    """How far a job has come: `done` of `total` chunks have their new vector; whether the collection has switched."""

    name: str
    done: int
    total: int
    switched: bool
    dimensions: int | None


def begin(
    session: Session, models: Catalog, tenant_id: uuid.UUID, name: str, model: str | None, job_id: uuid.UUID
) -> tuple[uuid.UUID, Model]:
    """Has the job change the collection's model; the collection's id, and the model.

    A job that is asked for the model which the collection has switched to drops the old vectors that are left of that.
    Raises `NotFound`, `ModelUnknown`, `InvalidField` for a model that it has already, or that can't read its chunks,
    and `Conflict` while another job is at it.
    """
    embedder = choosing.model_for(models, "embed", model)
    with scope(session, tenant_id):
        home = collections.find(session, tenant_id, name)
        home = reembedding.hold(session, tenant_id, home.id) if home else None
        if home is None:
            raise no_collection(name)
        under_way = reembedding.find(session, tenant_id, home.id)
        job = under_way.job_id if under_way else None
        clears = under_way is not None and under_way.switched
        widest = max(home.chunk_tokens or chunking.TOKENS, documents.widest(session, tenant_id, home.id) or 0)
    if job is not None and _goes_on(session, job):
        raise errors.Conflict(f"{ids.show(job)} is changing the model of the collection {name} already")
    if embedder.name == home.model and not clears:
        raise errors.InvalidField("model", f"the collection {name} has its vectors from {home.model} already")
    own = models.get(home.model)
    tokens = min(widest, own.context if own else sys.maxsize)
    if embedder.context < tokens:
        told = f"{embedder.name} reads {embedder.context} tokens, and the collection's chunks have up to {tokens}"
        raise errors.InvalidField("model", told)
    with scope(session, tenant_id):
        reembedding.begin(session, tenant_id, home.id, job_id, embedder.name)
    return home.id, embedder


def state(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, model: str) -> State:
    """How far it has come. Raises `CollectionGone`."""
    with scope(session, tenant_id):
        home = collections.get(session, tenant_id, collection_id)
        under_way = reembedding.find(session, tenant_id, collection_id)
        done, total = reembedding.done(session, tenant_id, collection_id)
    if home is None or (under_way is None and home.model != model):
        raise errors.CollectionGone("the collection was deleted")
    if under_way is None or under_way.switched:
        return State(home.name, total, total, True, home.dimensions)
    return State(home.name, done, total, False, under_way.dimensions)


def lot(
    session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, *, after: uuid.UUID | None, most: int
) -> list[Waiting]:
    """At most so many chunks that have no new vector yet, of documents from `after` on."""
    with scope(session, tenant_id):
        return reembedding.lot(session, tenant_id, collection_id, after=after, most=most)


def embedded(waiting: Waiting) -> str:
    """The text that the chunk's vector was made of, and is made of now."""
    return chunking.embedded(waiting.context or "", waiting.text)


def store(
    session: Session,
    tenant_id: uuid.UUID,
    collection_id: uuid.UUID,
    waiting: Sequence[Waiting],
    vectors: NDArray[np.float32],
    seen: int = 0,
    missed: float = 0.0,
) -> bool:
    """Keeps the chunks' new vectors, (n, d), and that of `seen` tokens of theirs the model couldn't read `missed`.

    False when one of them has changed or is gone: roll back then, ask again.

    Raises `CollectionGone`, and `DimensionsDiffer` from those it has of the model already.
    """
    with scope(session, tenant_id):
        home = collections.get(session, tenant_id, collection_id, keep=True)
        under_way = reembedding.find(session, tenant_id, collection_id)
        if home is None or under_way is None:
            raise errors.CollectionGone("the collection was deleted")
        if under_way.dimensions is None:
            reembedding.set_dimensions(session, tenant_id, collection_id, vectors.shape[1])
        elif under_way.dimensions != vectors.shape[1]:
            raise errors.DimensionsDiffer(home.name, vectors.shape[1], under_way.dimensions)
        reembedding.count_unread(session, tenant_id, collection_id, seen, missed)
        return reembedding.keep(session, tenant_id, home, waiting, list(vectors))


def is_indexed(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID) -> bool:
    """Whether the collection may switch without becoming slow: a large one's new vectors have their index.

    Says that it is to be made, which workers do that look after indexes. Raises `CollectionGone`.
    """
    with scope(session, tenant_id):
        home = collections.get(session, tenant_id, collection_id)
        under_way = reembedding.find(session, tenant_id, collection_id)
        if home is None or under_way is None:
            raise errors.CollectionGone("the collection was deleted")
        chunks, dimensions = rankings.size(session, tenant_id, collection_id), under_way.dimensions
        if chunks < index.LARGE or dimensions is None:
            return True
        wanted = Large(tenant_id, collection_id, dimensions, not home.second, None, chunks).index
        if not under_way.filled:
            reembedding.set_filled(session, tenant_id, collection_id)
        return wanted is None or index.is_made(session, wanted)


def switch(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID) -> bool:
    """Has the collection searched by its new vectors, if every chunk has one. Nobody stores any meanwhile.

    What its new model can't read is written down then, where that is known. Raises `CollectionGone`.
    """
    with scope(session, tenant_id):
        home = reembedding.hold(session, tenant_id, collection_id)
        under_way = reembedding.find(session, tenant_id, collection_id)
        if home is None or under_way is None:
            raise errors.CollectionGone("the collection was deleted")
        if reembedding.lacking(session, tenant_id, collection_id):
            return False
        reembedding.switch(session, tenant_id, home, under_way.model, under_way.dimensions)
        share = under_way.unread / under_way.seen if under_way.seen else None
        unread.renew(session, tenant_id, collection_id, share)
    return True


def clear(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, *, most: int) -> bool:
    """Drops at most so many of the old vectors of a collection that has switched. False once there are none."""
    with scope(session, tenant_id):
        home = collections.get(session, tenant_id, collection_id, keep=True)
        if home is not None and reembedding.clear(session, tenant_id, home, most=most):
            return True
        reembedding.end(session, tenant_id, collection_id)
    return False


def _goes_on(session: Session, job_id: uuid.UUID) -> bool:
    status = session.scalar(select(Job.status).where(Job.id == job_id))
    return status is not None and status not in lifecycle.TERMINAL
