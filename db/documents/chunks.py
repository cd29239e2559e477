"""Chunks: what a search finds. A vector and the words of a text, in one row of one tenant's.

Each function is called within `scope.scope` of the tenant it names.
"""

import math
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Row,
    Select,
    Text,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    literal_column,
    select,
    table,
    tuple_,
)
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import REGCONFIG, TSQUERY, TSVECTOR
from sqlalchemy.orm import InstrumentedAttribute, Mapped, Session, defer, mapped_column

from db.documents import index
from db.documents.documents import Document
from db.session import Table

_MAX_LEXEMES = 64  # of a question; each costs a look at every chunk


class Chunk(Table):
    """A piece of a document with its vector, of whatever dimension its collection's model makes.

    Its vectors have an index for each dimension, made by `index.ensure`. It is what stands from `begins` up to but not
    including `ends` in the document's text, on `page`, under the headings of `path`, in a table with this `header`.
    `digest` is the SHA-256 of what was embedded: the `context`, where there is one, and the text. In which of the two
    columns its vector is, its collection says.
    """

    __tablename__ = "chunks"

    document_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    collection_id: Mapped[uuid.UUID]
    text: Mapped[str] = mapped_column(Text)
    tokens: Mapped[int] = mapped_column(Integer)
    begins: Mapped[int | None] = mapped_column(Integer)
    ends: Mapped[int | None] = mapped_column(Integer)
    page: Mapped[int | None] = mapped_column(Integer)
    path: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql_text("'{}'"))
    header: Mapped[str | None] = mapped_column(Text)
    digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    context: Mapped[str | None] = mapped_column(Text)
    embedding: Mapped[Any] = mapped_column(VECTOR, nullable=True)
    second_embedding: Mapped[Any] = mapped_column(VECTOR, nullable=True)
    words: Mapped[Any] = mapped_column(TSVECTOR)

    __table_args__ = (
        ForeignKeyConstraint(["document_id", "tenant_id"], ["documents.id", "documents.tenant_id"], ondelete="CASCADE"),
        Index("chunks_of_collection", "collection_id"),
    )


Key = tuple[uuid.UUID, int]


def own_vector(second: bool) -> InstrumentedAttribute[Any]:
    """Where the vectors of a collection are, which says whether it is searched by the second ones."""
    return Chunk.second_embedding if second else Chunk.embedding


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a ranking found, by document and number.

    `similarity` is the cosine of its vector with the question's, `words` what it scores by words.
    """

    key: Key
    similarity: float = field(compare=False)
    words: float = field(default=0.0, compare=False)


def add(session: Session, rows: Sequence[Mapping[str, Any]], *, config: str) -> None:
    """Inserts chunks, their columns given by name.

    `indexed` is what their words are made of, by this text search configuration of PostgreSQL's.
    """
    words = func.to_tsvector(cast(config, REGCONFIG), bindparam("indexed"))
    session.execute(insert(Chunk).values(words=words), rows)


def clear(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> None:
    """Deletes the document's chunks."""
    session.execute(delete(Chunk).where(Chunk.tenant_id == tenant_id, Chunk.document_id == document_id))


def last(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> Row[int, bytes | None] | None:
    """Number and digest of the document's last chunk."""
    query = select(Chunk.number, Chunk.digest).where(Chunk.tenant_id == tenant_id, Chunk.document_id == document_id)
    return session.execute(query.order_by(Chunk.number.desc()).limit(1)).one_or_none()


def page(
    session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, *, after: int, limit: int
) -> Sequence[Row[int, str, int, int | None, int | None, int | None, list[str], str | None]]:
    """Number, text, tokens, begin, end, page, path and header of a document's chunks behind that number, in order."""
    shown = (Chunk.number, Chunk.text, Chunk.tokens, Chunk.begins, Chunk.ends, Chunk.page, Chunk.path, Chunk.header)
    query = select(*shown).where(Chunk.tenant_id == tenant_id, Chunk.document_id == document_id)
    return session.execute(query.where(Chunk.number > after).order_by(Chunk.number).limit(limit)).all()


def sizes(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, dimensions: int) -> tuple[int, int | None]:
    """The chunks to be found in the collection, and about how many of all tenants are in the index, if there is one."""
    where = (Document.tenant_id == tenant_id, Document.collection_id == collection_id, Document.status == "ready")
    own = select(func.coalesce(func.sum(Document.chunks), 0)).where(*where).scalar_subquery()
    indexed = select(column("reltuples", BigInteger)).select_from(table("pg_class", column("oid")))
    indexed = indexed.where(column("oid") == func.to_regclass(index.name(dimensions)))
    row = session.execute(select(own, indexed.scalar_subquery())).one()
    return int(row[0]), None if row[1] is None else int(row[1])


def nearest(
    session: Session,
    tenant_id: uuid.UUID,
    collection_id: uuid.UUID,
    vector: Any,
    *,
    depth: int,
    second: bool = False,
    labels: Mapping[str, Any] | None = None,
) -> list[Hit]:
    """The chunks with the most similar vectors, the most similar first, by looking at every one of the collection."""
    distance = _distance(own_vector(second), vector)
    return _hits(session, _of(tenant_id, collection_id, labels).add_columns(distance).order_by(distance).limit(depth))


def walk(
    session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, vector: Any, *, dimensions: int, depth: int
) -> list[Hit]:
    """`nearest`, nearly, by walking the index over all tenants' chunks; fewer than there are when it gives up."""
    settings = {"hnsw.ef_search": str(min(1000, 4 * depth)), "hnsw.iterative_scan": "strict_order"}
    session.execute(select(*(func.set_config(name, value, True) for name, value in settings.items())))
    # Written as the index is, literals too: else the planner doesn't know it again.
    distance = _distance(cast(Chunk.embedding, VECTOR(dimensions)), vector)
    same = func.vector_dims(Chunk.embedding) == literal_column(str(dimensions))
    query = _of(tenant_id, collection_id, None).where(same)
    return _hits(session, query.add_columns(distance).order_by(distance).limit(depth))


def worded(
    session: Session,
    tenant_id: uuid.UUID,
    collection_id: uuid.UUID,
    query: str,
    vector: Any,
    *,
    config: str,
    depth: int,
    second: bool = False,
    labels: Mapping[str, Any] | None = None,
) -> list[Hit]:
    """The chunks that have most of the question's words, the best first. None for a question of stop words."""
    any_of = _any_of(
        session.scalars(select(func.unnest(func.tsvector_to_array(func.to_tsvector(cast(config, REGCONFIG), query)))))
    )
    if not any_of:
        return []
    asked = cast(any_of, TSQUERY)
    rank = func.ts_rank(Chunk.words, asked)
    ranked = _of(tenant_id, collection_id, labels).where(Chunk.words.op("@@")(asked))
    best = ranked.add_columns(own_vector(second).label("vector"), rank.label("rank"))
    found = best.order_by(rank.desc(), Chunk.document_id, Chunk.number).limit(depth).subquery()
    similar = select(found.c.document_id, found.c.number, _distance(found.c.vector, vector), found.c.rank)
    return _hits(session, similar.order_by(found.c.rank.desc(), found.c.document_id, found.c.number))


def told(session: Session, tenant_id: uuid.UUID, keys: Collection[Key]) -> dict[Key, tuple[Chunk, Document]]:
    """Of each of these chunks its row without vector and words, and its document's."""
    query = select(Chunk, Document).join(Document, Document.id == Chunk.document_id)
    query = query.options(defer(Chunk.embedding), defer(Chunk.second_embedding), defer(Chunk.words))
    query = query.where(Chunk.tenant_id == tenant_id, tuple_(Chunk.document_id, Chunk.number).in_(keys))
    return {(chunk.document_id, chunk.number): (chunk, document) for chunk, document in session.execute(query)}


def _of(tenant_id: uuid.UUID, collection_id: uuid.UUID, labels: Mapping[str, Any] | None) -> Select[uuid.UUID, int]:
    """The chunks of the collection's ready documents; with `labels`, of those whose metadata has all of them."""
    query = select(Chunk.document_id, Chunk.number)
    query = query.where(Chunk.tenant_id == tenant_id, Chunk.collection_id == collection_id)
    own = (Document.tenant_id == tenant_id, Document.collection_id == collection_id)
    # Few documents are stored in part at a time, and an index holds no others: leaving them out costs next to nothing.
    in_part = select(Document.id).where(*own, Document.status == "pending", Document.chunks.is_not(None))
    query = query.where(Chunk.document_id.not_in(in_part))
    if labels:
        query = query.where(Chunk.document_id.in_(select(Document.id).where(*own, Document.labels.contains(labels))))
    return query


def _distance(embedding: Any, vector: Any) -> ColumnElement[float]:
    """The cosine distance, 0 for the same direction to 2 for the opposite."""
    distance: ColumnElement[float] = embedding.op("<=>", return_type=Float())(bindparam(None, vector, VECTOR()))
    return distance


def _hits(session: Session, query: Select[Any]) -> list[Hit]:
    # A vector of zeros has no direction, and its distance is no number.
    return [
        Hit((row[0], row[1]), 0.0 if math.isnan(row[2]) else 1.0 - row[2], *row[3:]) for row in session.execute(query)
    ]


def _any_of(lexemes: Iterable[str]) -> str:
    """A text query that any of the words satisfies, in PostgreSQL's own spelling."""
    quoted = ("'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'" for lexeme in lexemes)
    return " | ".join(islice(quoted, _MAX_LEXEMES))
