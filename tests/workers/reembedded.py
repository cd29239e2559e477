"""A collection whose model is changed, by echo engines that give different vectors."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from db.session import Sessions
from tasks import kinds
from tasks.documents import ranking
from tasks.jobs import jobs
from tasks.jobs.requests import Submission
from tasks.keys import Caller
from tasks.kinds.reembed import Reembedding
from tests import tables
from workers.engines.echo import Echo

WIDTH = 24


@dataclass(slots=True)
class Other(Echo):
    """Counts words in more places than echo does. `before` is called before each batch."""

    before: Callable[[], None] = lambda: None
    embedded: list[int] = field(default_factory=list)

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        self.before()
        self.embedded.append(len(inputs))
        vectors = np.zeros((len(inputs), WIDTH), np.float32)
        for vector, ids in zip(vectors, inputs, strict=True):
            for number in ids:
                vector[number % WIDTH] += 1
            vector /= max(float(np.linalg.norm(vector)), 1.0)
        return vectors


@dataclass(slots=True)
class Dying(Other):
    """Takes the worker's thread with it, as the end of the process does, when `before` raises."""

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        if texts != [""]:
            self.before()
        return Other.tokenize(self, texts)

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return Other("other", 2, 128).embed(inputs)


def other(before: Callable[[], None] = lambda: None) -> Other:
    return Other("other", 2, 128, before=before)


def ask(sessions: Sessions, caller: Caller, model: str | None = "other", name: str = "facts") -> uuid.UUID:
    """The job that changes the collection's model, as the desk would accept it, dispatched."""
    with sessions.begin() as session:
        plan = kinds.plan(session, tables.MODELS, caller, Submission("reembed", model, Reembedding(name)))
        job_id = jobs.insert(session, caller, plan)[0].id
    tables.dispatch(sessions, job_id)
    return job_id


def found(sessions: Sessions, caller: Caller, query: str, engine: Echo, model: str) -> list[str]:
    with sessions.begin() as session:
        vector = engine.embed(engine.tokenize([query]))[0]
        passages = ranking.search(session, caller.tenant_id, "facts", query, vector, model=model, top_k=3)
    return [passage.text for passage in passages]


def by_old(sessions: Sessions, caller: Caller, query: str = "lamp kitchen.") -> list[str]:
    return found(sessions, caller, query, Echo("embedder", 1, 64), "embedder")


def by_new(sessions: Sessions, caller: Caller, query: str = "lamp kitchen.") -> list[str]:
    return found(sessions, caller, query, other(), "other")


def columns(sessions: Sessions) -> set[tuple[int | None, int | None]]:
    """Of how many dimensions the vectors of all chunks are, in each of their two places."""
    with sessions() as session:
        rows = session.execute(text("SELECT vector_dims(embedding), vector_dims(second_embedding) FROM chunks"))
        return {(row[0], row[1]) for row in rows}


def left(sessions: Sessions) -> list[int]:
    """How many rows are left of what jobs have under way."""
    with sessions() as session:
        tables_ = ("reembeddings", "reembedded")
        return [session.scalars(text(f"SELECT count(*) FROM {table}")).one() for table in tables_]
