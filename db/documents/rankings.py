"""Chunks ranked by meaning and by words. Each function is called within `scope.scope` of the tenant it names."""

import functools
import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Float,
    Integer,
    Row,
    Select,
    Text,
    Uuid,
    all_,
    and_,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    null,
    select,
    table,
    type_coerce,
    union_all,
)
from sqlalchemy.orm import Session
from sqlalchemy.types import UserDefinedType

from db import statements
from db.documents import index, words
from db.documents.chunks import Chunk, Key
from db.documents.collections import Collection
from db.documents.documents import Document
from db.documents.words import Asked
from db.statements import Statement

# So many candidates of the index, times the depth of the ranking: more find more, and take longer (see docs/adr/0022).
_WIDTH = 2
_OF_INDEX = ("indexrelid", "indisvalid")

# How chunks are ranked: by their vectors, looking at each within reach or walking the collection's own index; or by the
# question's words, through the index of words or looking at each within reach, which is less work where few are.
Way = Literal["vectors", "index", "words", "all words"]


class _Written(UserDefinedType[str]):
    """A vector as PostgreSQL reads it, whose kind is plain from what it is compared with."""

    cache_ok = True


CHUNKS = Chunk.__table__  # no objects are made of what is read
_TENANT = bindparam("tenant_id", type_=Uuid())
_COLLECTION = bindparam("collection_id", type_=Uuid())
_DEPTH = bindparam("depth", type_=Integer())
_HIDDEN = cast(bindparam("hidden", type_=ARRAY(Uuid)), ARRAY(Uuid))
_AMONG = cast(bindparam("among", type_=ARRAY(Uuid)), ARRAY(Uuid))
_VECTOR = bindparam("asked_vector", type_=_Written())
_WORDS = bindparam("asked_words", type_=_Written())


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


class Home(NamedTuple):
    """What a search has to know of a collection.

    `hidden` are those of its documents that are stored in part. Of the collection's index `indexed` says about how many
    chunks it has, None where there is none.
    """

    id: uuid.UUID
    name: str
    model: str
    dimensions: int | None
    language: str | None
    second: bool
    unread: float | None
    hidden: list[uuid.UUID]
    indexed: int | None


def homes(session: Session, tenant_id: uuid.UUID, names: Sequence[str]) -> list[Home]:
    """Those of the tenant's collections of these names that are there, in this order."""
    found = statements.rows(session, _homes(), {"tenant_id": tenant_id, "names": list(names)})
    there = {home.name: home for home in map(Home._make, found)}
    return [there[name] for name in names if name in there]


def size(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID) -> int:
    """How many chunks the collection has to be found."""
    return sizes(session, tenant_id, [collection_id]).get(collection_id, 0)


def sizes(
    session: Session, tenant_id: uuid.UUID, collection_ids: Sequence[uuid.UUID], only: Any = None
) -> dict[uuid.UUID, int]:
    """How many chunks these collections have to be found, where they have any; with `only`, in documents for which this
    condition holds."""
    query = select(Document.collection_id, func.sum(Document.chunks)).where(*_ready(tenant_id, collection_ids))
    query = query if only is None else query.where(only)
    rows = session.execute(query.group_by(Document.collection_id)).all() if collection_ids else []
    return {home: int(chunks or 0) for home, chunks in rows if home is not None}


def documents(
    session: Session, tenant_id: uuid.UUID, collection_ids: Sequence[uuid.UUID], only: Any
) -> dict[uuid.UUID, list[uuid.UUID]]:
    """The ready documents of these collections for which the condition holds."""
    found: dict[uuid.UUID, list[uuid.UUID]] = {home: [] for home in collection_ids}
    query = select(Document.collection_id, Document.id).where(*_ready(tenant_id, collection_ids), only)
    for home, document_id in session.execute(query) if collection_ids else ():
        if home is not None:
            found[home].append(document_id)
    return found


def _ready(tenant_id: uuid.UUID, collection_ids: Sequence[uuid.UUID]) -> tuple[Any, ...]:
    mine = (Document.tenant_id == tenant_id, Document.status == "ready")
    # One is compared as such: of a list PostgreSQL knows less.
    [one] = collection_ids if len(collection_ids) == 1 else [None]
    return *mine, Document.collection_id.in_(collection_ids) if one is None else Document.collection_id == one


def settings(depth: int) -> dict[str, str]:
    """What the scope has to set for an index to be walked to this depth."""
    return {"hnsw.ef_search": str(min(1000, _WIDTH * depth)), "hnsw.iterative_scan": "strict_order"}


def ranked(
    session: Session, reach: Reach, vector: Any, asked: Asked, ways: Sequence[Way], *, depth: int
) -> list[list[Hit]]:
    """The chunks within reach ranked in each of these ways, in one statement: of each the best `depth`, the best first.

    Nothing is ranked by a question of stop words. By the index there may be fewer than there are: it gives up.
    """
    able = tuple(way for way in ways if asked.weights or way not in ("words", "all words"))
    rows: dict[Way, list[Any]] = {way: [] for way in ways}
    if able:
        for row in _found(session, reach, vector, asked, able, depth):
            rows[able[row[0]]].append(row)
    return [[hit_of(row) for row in in_order(way, rows[way])] for way in ways]


def in_order(way: Way, rows: Sequence[Any]) -> list[Any]:
    """The rows that one way found, the best first."""
    return sorted(rows, key=_ORDERS[way])


def hit_of(row: Any) -> Hit:
    """Of a row with its way, the chunk's document and number, the distance of its vector, and its points by words."""
    _, document_id, number, distance, points = row
    # A vector of zeros has no direction, and its distance is no number.
    return Hit((document_id, number), 0.0 if math.isnan(distance) else 1.0 - distance, points)


def _by_distance(row: Any) -> Any:
    return math.isnan(row[3]), row[3]


def _by_points(row: Any) -> Any:
    return -row[4], row[1], row[2]


_ORDERS: dict[Way, Callable[[Any], Any]] = {
    "vectors": _by_distance,
    "index": _by_distance,
    "words": _by_points,
    "all words": _by_points,
}


def _given(reach: Reach, vector: Any, asked: Asked, depth: int) -> dict[str, Any]:
    return {
        "tenant_id": reach.tenant_id,
        "collection_id": reach.collection_id,
        "hidden": list(reach.hidden),
        "among": None if reach.among is None or isinstance(reach.among, Select) else list(reach.among),
        "asked_vector": orjson.dumps(np.asarray(vector, np.float32), option=orjson.OPT_SERIALIZE_NUMPY).decode(),
        "asked_words": asked.vector.to_text(),
        "any_of": list(asked.any_of),
        "all_of": list(asked.all_of) or None,
        "depth": depth,
    }


def _found(
    session: Session, reach: Reach, vector: Any, asked: Asked, ways: tuple[Way, ...], depth: int
) -> Sequence[Row[Any]]:
    """Making the statement takes longer than most of what it does: where it can be, it is kept."""
    own = reach.collection_id if "index" in ways else None
    what = (own, len(vector), reach.second, bool(asked.weights), ways)
    given = _given(reach, vector, asked, depth)
    if isinstance(reach.among, Select):
        return session.execute(_made(reach.among, *what), given).all()
    return statements.rows(session, _kept(reach.among is not None, *what), given)


def _made(
    among: Select[uuid.UUID] | bool,
    own: uuid.UUID | None,
    dimensions: int,
    second: bool,
    worded: bool,
    ways: tuple[Way, ...],
) -> Any:
    """The ways' rankings, each row with its way's place among them. `own` is the collection whose index is walked.

    `among` is a query for the documents that are searched, or whether they are given.
    """
    columns = CHUNKS.c
    vector = columns.second_embedding if second else columns.embedding
    distance = vector.op("<=>", return_type=Float())(_VECTOR)
    points = -columns.words.op("<#>", return_type=Float())(_WORDS) if worded else literal_column("0.0::float8", Float)
    within = _within(among)
    made = []
    for place, way in enumerate(ways):
        query = select(literal_column(str(place), Integer), columns.document_id, columns.number, distance)
        if way == "words":
            found = words.found(_COLLECTION, _WORDS, _DEPTH, _HIDDEN, _ids_of(among))
            same = (columns.document_id == found.c.document_id, columns.number == found.c.number)
            query = query.add_columns(found.c.points).join_from(CHUNKS, found, and_(*same))
            made.append(query.where(columns.tenant_id == _TENANT))
            continue
        query = query.add_columns(points).where(*within)
        if way == "all words":
            query = query.where(points > 0).order_by(points.desc(), columns.document_id, columns.number)
        elif way == "vectors":
            query = query.order_by(distance)
        else:
            # Written as the index is, literals too: else the planner doesn't know it again.
            half = HALFVEC(dimensions)
            query = query.where(columns.collection_id == literal_column(f"'{own}'::uuid"))
            query = query.where(func.vector_dims(vector) == literal_column(str(dimensions)))
            query = query.order_by(cast(vector, half).op("<=>", return_type=Float())(cast(_VECTOR, half)))
        made.append(query.limit(_DEPTH))
    return made[0] if len(made) == 1 else union_all(*made)


@functools.lru_cache(maxsize=1000)
def _kept(*what: Any) -> Statement:
    return statements.made(_made(*what))


def _within(among: Select[uuid.UUID] | bool) -> list[Any]:
    """The conditions of what is in reach."""
    columns = CHUNKS.c
    conditions = [columns.tenant_id == _TENANT, columns.collection_id == _COLLECTION]
    if isinstance(among, Select):
        conditions.append(columns.document_id.in_(among))
    elif among:
        conditions.append(columns.document_id == any_(_AMONG))
    return [*conditions, columns.document_id != all_(_HIDDEN)]


def _ids_of(among: Select[uuid.UUID] | bool) -> Any:
    if isinstance(among, Select):
        return func.array(among.scalar_subquery())
    return _AMONG if among else cast(null(), ARRAY(Uuid))


@functools.cache
def _homes() -> Statement:
    part = (Document.collection_id == Collection.id, Document.status == "pending", Document.chunks.is_not(None))
    hidden = func.array(select(Document.id).where(Document.tenant_id == _TENANT, *part).scalar_subquery())
    made = func.to_regclass(index.spelled(Collection.id, Collection.dimensions, Collection.second))
    own, valid = table("pg_class", column("oid"), column("reltuples")), table("pg_index", *map(column, _OF_INDEX))
    size = select(cast(own.c.reltuples, BigInteger)).where(own.c.oid == made)
    size = size.where(valid.c.indexrelid == own.c.oid, valid.c.indisvalid)
    told = (getattr(Collection, field) for field in Home._fields[:-2])
    query = select(*told, type_coerce(hidden, ARRAY(Uuid)), size.scalar_subquery())
    where = (Collection.tenant_id == _TENANT, Collection.name == any_(bindparam("names", type_=ARRAY(Text))))
    return statements.made(query.where(*where))
