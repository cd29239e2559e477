"""Chunks ranked by meaning and by words. Each function is called within `scope.scope` of the tenant it names."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pgvector.sqlalchemy import HALFVEC, SPARSEVEC, VECTOR
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Float,
    Row,
    Select,
    Uuid,
    all_,
    and_,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
    type_coerce,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.documents import index, words
from db.documents.chunks import Chunk, Key, own_vector
from db.documents.collections import Collection
from db.documents.documents import Document
from db.documents.words import Asked

# So many candidates of the index, times the depth of the ranking: more find more, and take longer (see docs/adr/0022).
_WIDTH = 2
_OF_INDEX = ("indexrelid", "indisvalid")


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a ranking found, by document and number.

    `similarity` is the cosine of its vector with the question's, `words` what it scores by words.
    """

    key: Key
    similarity: float = field(compare=False)
    words: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Reach:
    """What is searched: a tenant's collection without the documents `hidden`, and with `among` only these of it.

    Those are ids, or a query for them where they are many. `second` says that its vectors are the second ones.
    """

    tenant_id: uuid.UUID
    collection_id: uuid.UUID
    hidden: Sequence[uuid.UUID] = ()
    among: Sequence[uuid.UUID] | Select[uuid.UUID] | None = None
    second: bool = False

    @property
    def vector(self) -> InstrumentedAttribute[Any]:
        return own_vector(self.second)


def home(session: Session, tenant_id: uuid.UUID, name: str) -> Row[Collection, list[uuid.UUID], int | None] | None:
    """The tenant's collection, which of its documents are stored in part, and about how many chunks its index has.

    None for the last when it has no index.
    """
    part = (Document.collection_id == Collection.id, Document.status == "pending", Document.chunks.is_not(None))
    hidden = func.array(select(Document.id).where(Document.tenant_id == tenant_id, *part).scalar_subquery())
    made = func.to_regclass(index.spelled(Collection.id, Collection.dimensions, Collection.second))
    own, valid = table("pg_class", column("oid"), column("reltuples")), table("pg_index", *map(column, _OF_INDEX))
    size = select(cast(own.c.reltuples, BigInteger)).where(own.c.oid == made)
    size = size.where(valid.c.indexrelid == own.c.oid, valid.c.indisvalid)
    query = select(Collection, type_coerce(hidden, ARRAY(Uuid)), size.scalar_subquery())
    return session.execute(query.where(Collection.tenant_id == tenant_id, Collection.name == name)).one_or_none()


def size(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, only: Any = None) -> int:
    """How many chunks the collection has to be found; with `only`, in documents for which this condition holds."""
    where = [Document.tenant_id == tenant_id, Document.collection_id == collection_id, Document.status == "ready"]
    if only is not None:
        where.append(only)
    return session.scalar(select(func.coalesce(func.sum(Document.chunks), 0)).where(*where)) or 0


def nearest(session: Session, reach: Reach, vector: Any, asked: Asked, *, depth: int) -> list[Hit]:
    """The chunks with the most similar vectors, the most similar first, by looking at every one within reach."""
    distance = _distance(reach.vector, vector)
    return _hits(session, _of(reach, vector, asked).order_by(distance).limit(depth))


def walk(session: Session, reach: Reach, vector: Any, asked: Asked, *, dimensions: int, depth: int) -> list[Hit]:
    """`nearest`, nearly, by walking the collection's own index; fewer than there are when it gives up."""
    settings = {"hnsw.ef_search": str(min(1000, _WIDTH * depth)), "hnsw.iterative_scan": "strict_order"}
    session.execute(select(*(func.set_config(name, value, True) for name, value in settings.items())))
    # Written as the index is, literals too: else the planner doesn't know it again.
    half = HALFVEC(dimensions)
    distance = cast(reach.vector, half).op("<=>", return_type=Float())(cast(_asked_vector(vector), half))
    own = Chunk.collection_id == literal_column(f"'{reach.collection_id}'::uuid")
    same = func.vector_dims(reach.vector) == literal_column(str(dimensions))
    hits = _hits(session, _of(reach, vector, asked).where(own, same).order_by(distance).limit(depth))
    return sorted(hits, key=lambda hit: -hit.similarity)


def worded(session: Session, reach: Reach, vector: Any, asked: Asked, *, depth: int) -> list[Hit]:
    """The chunks that have most of the question's words, the best first. None for a question of stop words."""
    if not asked.weights:
        return []
    among = func.array(reach.among.scalar_subquery()) if isinstance(reach.among, Select) else reach.among
    found = words.found(reach.collection_id, asked, reach.hidden, among, depth=depth)
    query = select(Chunk.document_id, Chunk.number, _distance(reach.vector, vector), found.c.points)
    same = (Chunk.document_id == found.c.document_id, Chunk.number == found.c.number)
    query = query.join(found, and_(*same)).where(Chunk.tenant_id == reach.tenant_id)
    return _hits(session, query.order_by(found.c.points.desc(), Chunk.document_id, Chunk.number))


def worded_all(session: Session, reach: Reach, vector: Any, asked: Asked, *, depth: int) -> list[Hit]:
    """`worded`, by looking at every chunk within reach: that is less work where few are."""
    if not asked.weights:
        return []
    points = _points(asked)
    query = _of(reach, vector, asked).where(points > 0)
    return _hits(session, query.order_by(points.desc(), Chunk.document_id, Chunk.number).limit(depth))


def _of(reach: Reach, vector: Any, asked: Asked) -> Select[Any]:
    """Of the chunks within reach the key, the distance and what they score by words."""
    columns: list[Any] = [Chunk.document_id, Chunk.number, _distance(reach.vector, vector), _points(asked)]
    query = select(*columns)
    query = query.where(Chunk.tenant_id == reach.tenant_id, Chunk.collection_id == reach.collection_id)
    if reach.hidden:
        query = query.where(Chunk.document_id != all_(cast(list(reach.hidden), ARRAY(Uuid))))
    if isinstance(reach.among, Select):
        query = query.where(Chunk.document_id.in_(reach.among))
    elif reach.among is not None:
        query = query.where(Chunk.document_id == any_(cast(list(reach.among), ARRAY(Uuid))))
    return query


def _points(asked: Asked) -> ColumnElement[float]:
    if not asked.weights:
        return literal_column("0.0", Float)
    points: ColumnElement[float] = -Chunk.words.op("<#>", return_type=Float())(
        bindparam(None, asked.vector, SPARSEVEC())
    )
    return points


def _asked_vector(vector: Any) -> ColumnElement[Any]:
    """By one name, since it is written out once then, wherever a statement has it."""
    asked: ColumnElement[Any] = bindparam("asked_vector", vector, VECTOR())
    return asked


def _distance(embedding: Any, vector: Any) -> ColumnElement[float]:
    """The cosine distance, 0 for the same direction to 2 for the opposite."""
    distance: ColumnElement[float] = embedding.op("<=>", return_type=Float())(_asked_vector(vector))
    return distance


def _hits(session: Session, query: Select[Any]) -> list[Hit]:
    # A vector of zeros has no direction, and its distance is no number.
    return [
        Hit((document_id, number), 0.0 if math.isnan(distance) else 1.0 - distance, float(points))
        for document_id, number, distance, points in session.execute(query)
    ]
