"""Chunks ranked by the words of a question: BM25, over an index of every collection's own words.

The index is read by functions of a role that sees all tenants' rows, whose text has the tenant's condition: row-level
security would forbid it (see docs/adr/0022). Each function here is called within `scope.scope` of the tenant it names.
"""

import functools
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgvector import SparseVector
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Float,
    ForeignKeyConstraint,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import REGCONFIG, TSVECTOR
from sqlalchemy.orm import Mapped, Session, mapped_column

from db import statements
from db.session import Table
from db.statements import Statement

_PLACES = 1_000_000_000  # pgvector's most
# So many chunks are scored for a question, or little more. The rarest words say which: the chunks that only common
# words are in have little to gain.
_ENOUGH = 2_000
_SAMPLE = 50_000  # chunks whose words are counted, of a larger collection
_MANY = 10  # of them: fewer than that is counted when it is asked for


class WordCount(Table):
    """In about how many chunks of a large collection a word is that is in many. `term` is what `word_term` makes."""

    __tablename__ = "word_counts"

    collection_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    term: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    chunks: Mapped[int]

    __table_args__ = (
        ForeignKeyConstraint(
            ["collection_id", "tenant_id"], ["collections.id", "collections.tenant_id"], ondelete="CASCADE"
        ),
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """A question's words by their terms, each with its weight: the rarer, the more.

    A chunk is looked at if it has one of `any_of`, or all of `all_of`.
    """

    weights: Mapping[int, float]
    any_of: tuple[int, ...] = ()
    all_of: tuple[int, ...] = ()

    @property
    def best(self) -> float:
        """What a chunk of usual length scores that has every word once."""
        return sum(self.weights.values())

    @property
    def vector(self) -> SparseVector:
        """The weights, each at its term's place: the inner product with a chunk's `words` is its score."""
        places: dict[int, float] = {}
        for term, weight in self.weights.items():
            place = (term & 0x7FFF_FFFF) % _PLACES
            places[place] = places.get(place, 0.0) + weight
        return SparseVector(places, _PLACES)


NOTHING = Asked({})


@dataclass(frozen=True, slots=True)
class Worded:
    """A collection, PostgreSQL's configuration for text search in it, and how many chunks it has."""

    collection_id: uuid.UUID
    config: str
    chunks: int


def asked(session: Session, of: Sequence[Worded], query: str, *, enough: int = _ENOUGH) -> list[Asked]:
    """The question's words, at most 64, as each of these collections has them, and which of them choose the chunks to
    look at."""
    given = {"collections": [one.collection_id for one in of], "configs": [one.config for one in of], "query": query}
    counts: list[dict[int, int]] = [{} for _ in of]
    for place, term, chunks in statements.rows(session, _counted(), given):
        counts[place - 1][term] = chunks
    return [chosen(counted, one.chunks, enough) for counted, one in zip(counts, of, strict=True)]


@functools.cache
def _counted() -> Statement:
    given = func.unnest(bindparam("collections", type_=ARRAY(Uuid)), bindparam("configs", type_=ARRAY(Text)))
    each = given.table_valued(column("collection_id", Uuid), column("config", Text), with_ordinality="place")
    each = each.render_derived(name="each")
    lexemes = func.tsvector_to_array(func.to_tsvector(cast(each.c.config, REGCONFIG), bindparam("query")))
    rows = func.count_words(each.c.collection_id, lexemes).table_valued(column("term"), column("chunks"))
    counted = rows.lateral("counted")
    return statements.made(select(each.c.place, counted.c.term, counted.c.chunks).join_from(each, counted, true()))


def chosen(counts: Mapping[int, int], chunks: int, enough: int) -> Asked:
    """The words weighed by in how many of the collection's chunks each is, and which of them choose.

    As many of the rarest choose as are together in `enough` chunks. Of the others the rarest may choose together: few
    chunks have them all. A word alone that is in more chunks than `enough` has to choose by itself.
    """
    order = sorted(counts, key=lambda term: (counts[term], term))
    total = max([chunks, *counts.values(), 1])  # a collection whose last document was deleted has none
    weights = {term: math.log1p((total - counts[term] + 0.5) / (counts[term] + 0.5)) for term in order}
    rare, seen = 0, 0
    while rare < len(order) and (seen := seen + counts[order[rare]]) <= enough:
        rare += 1
    common = order[rare:]
    together = common[: _together([counts[term] / total for term in common], enough / total)]
    if rare and len(together) < 2:
        together = []
    return Asked(weights, tuple(order[:rare]), tuple(together))


def _together(shares: Sequence[float], wanted: float) -> int:
    """How many of the words have to be in a chunk for no larger share of the chunks to have them, were it by chance."""
    share = 1.0
    for count, one in enumerate(shares, start=1):
        share *= one
        if share <= wanted:
            return max(count, min(2, len(shares)))
    return len(shares)


def found(collection_id: Any, asked: Any, depth: Any, hidden: Any, among: Any) -> Any:
    """The best chunks by the question's words, as a table of `document_id`, `number` and `points`.

    What it takes is SQL, and `any_of` and `all_of` are given with the statement. None is of the documents `hidden`;
    with `among`, an array of ids too, all are of these.
    """
    terms = ARRAY(BigInteger)
    any_of, all_of = (cast(bindparam(name, type_=terms), terms) for name in ("any_of", "all_of"))
    called = func.find_words(collection_id, any_of, all_of, asked, depth, hidden, among)
    return called.table_valued(column("document_id", Uuid), column("number"), column("points", Float)).alias("found")


def lexemes(config: str, text: Any) -> Any:
    """The words of a text, as PostgreSQL cuts it."""
    return func.to_tsvector(cast(config, REGCONFIG), text, type_=TSVECTOR)


def count(session: Session, tenant_id: uuid.UUID, collection_id: uuid.UUID, chunks: int) -> None:
    """Counts the words of a collection of so many chunks anew, in some of them, and keeps those that are in many."""
    session.execute(text("SET LOCAL statement_timeout = 0"))
    where = {"tenant": tenant_id, "collection": collection_id}
    session.execute(_FORGET, where)
    share = min(1.0, _SAMPLE / max(1, chunks))
    session.execute(_COUNT, {**where, "share": share, "least": _MANY})


_FORGET = text("DELETE FROM word_counts WHERE collection_id = :collection AND tenant_id = :tenant")
_COUNT = text(
    """
    INSERT INTO word_counts (collection_id, term, tenant_id, chunks)
    SELECT CAST(:collection AS uuid), term, CAST(:tenant AS uuid), CAST(count(*) / CAST(:share AS float8) AS integer)
    FROM (
        SELECT terms FROM chunks WHERE collection_id = :collection AND tenant_id = :tenant AND random() < :share
    ) AS sampled, unnest(sampled.terms) AS term
    GROUP BY term HAVING count(*) >= :least
    """
)
