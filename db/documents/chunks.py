"""Chunks: what a search finds. A vector and the words of a text, in one row of one tenant's.

Each function is called within `scope.scope` of the tenant it names.
"""

import functools
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from pgvector.sqlalchemy import SPARSEVEC, VECTOR
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Row,
    Text,
    Uuid,
    and_,
    bindparam,
    column,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy import text as sql_text
from sqlalchemy.orm import InstrumentedAttribute, Mapped, Session, mapped_column

from db import statements
from db.documents import words
from db.documents.documents import Document
from db.session import Table
from db.statements import Statement


class Chunk(Table):
    """A piece of a document with its vector, of whatever dimension its collection's model makes.

    `terms` and `words` are what its words are found and weighed by (see `words`). It is what stands from `begins` up to
    but not including `ends` in the document's text, on `page`, under the headings of `path`, in a table with this
    `header`. `digest` is the SHA-256 of what was embedded: the `context`, where there is one, and the text. In which of
    the two columns its vector is, its collection says.
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
    terms: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    words: Mapped[Any] = mapped_column(SPARSEVEC)

    __table_args__ = (
        ForeignKeyConstraint(["document_id", "tenant_id"], ["documents.id", "documents.tenant_id"], ondelete="CASCADE"),
        Index("chunks_of_collection", "collection_id"),
        Index("chunks_terms", "terms", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    )


Key = tuple[uuid.UUID, int]


class Told(NamedTuple):
    """What is shown of a chunk and of its document."""

    document_id: uuid.UUID
    number: int
    text: str
    begins: int | None
    ends: int | None
    page: int | None
    path: list[str]
    header: str | None
    title: str | None
    filename: str | None
    external_id: str | None
    metadata: dict[str, Any]


def own_vector(second: bool) -> InstrumentedAttribute[Any]:
    """Where the vectors of a collection are, which says whether it is searched by the second ones."""
    return Chunk.second_embedding if second else Chunk.embedding


def add(session: Session, rows: Sequence[Mapping[str, Any]], *, config: str, usual_tokens: float) -> None:
    """Inserts chunks, their columns given by name.

    `indexed` is what their words are made of, by this text search configuration of PostgreSQL's. A word counts the more
    the fewer tokens a chunk has, beside the usual.
    """
    lexemes = words.lexemes(config, bindparam("indexed"))
    home, length = bindparam("home", type_=Uuid()), bindparam("length", type_=Float())
    made = {"terms": func.chunk_terms(home, lexemes), "words": func.chunk_words(home, lexemes, length)}
    rows = [{**row, "home": row["collection_id"], "length": row["tokens"] / usual_tokens} for row in rows]
    session.execute(insert(Chunk).values(**made), rows)


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


def told(session: Session, tenant_id: uuid.UUID, keys: Collection[Key]) -> dict[Key, Told]:
    """What is shown of each of these chunks, where it is still there."""
    given = {"tenant_id": tenant_id, "ids": [key[0] for key in keys], "numbers": [key[1] for key in keys]}
    return {(row.document_id, row.number): row for row in map(Told._make, statements.rows(session, _told(), given))}


@functools.cache
def _told() -> Statement:
    chunk, document = Chunk.__table__.c, Document.__table__.c
    ids, numbers = bindparam("ids", type_=ARRAY(Uuid)), bindparam("numbers", type_=ARRAY(Integer))
    keys = func.unnest(ids, numbers).table_valued(column("id", Uuid), column("number", Integer)).render_derived()
    mine = chunk.tenant_id == bindparam("tenant_id", type_=Uuid())
    return statements.made(
        select(*(chunk[name] if name in chunk else document[name] for name in Told._fields))
        .join_from(keys, Chunk.__table__, and_(chunk.document_id == keys.c.id, chunk.number == keys.c.number))
        .join(Document.__table__, document.id == chunk.document_id)
        .where(mine)
    )
