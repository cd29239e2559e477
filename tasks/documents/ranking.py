"""Searching a collection: by meaning and by words, both rankings fused. Functions take a session and never commit."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from db.documents import across as across_table
from db.documents import chunks, rankings, words
from db.documents.documents import Document
from db.documents.rankings import Hit, Home, Reach, Way
from db.documents.words import Asked, Worded
from db.scope import enter_scope, scope
from tasks import errors
from tasks.documents import filters, passages, reading, wording
from tasks.documents.filters import Filter
from tasks.documents.library import no_collection
from tasks.documents.passages import Passage as Passage
from tasks.documents.passages import PassageObject as PassageObject
from tasks.documents.passages import Scored
from tasks.keys import Caller

MAX_QUERIES = 16
MAX_NEIGHBOURS = 10
# Of each ranking so many are fused, and twice as many as are asked for at least.
_DEPTH = 50
# The words' part of the score (measured; see docs/adr/0022).
WORDS_WEIGHT = 0.3
# Of so many chunks that a filter leaves each is looked at.
FEW_CHUNKS = 5_000


@dataclass(frozen=True, slots=True)
class SearchTarget:
    """What has to be known of a collection to search it; `dimensions` is None until it has its first vectors."""

    name: str
    model: str
    dimensions: int | None


def collection_of(session: Session, caller: Caller, name: str) -> SearchTarget:
    """The tenant's collection, nothing in it counted. Raises `NotFound`, for another tenant's too."""
    return home_of(session, caller.tenant_id, name)


def home_of(session: Session, tenant_id: uuid.UUID, name: str) -> SearchTarget:
    """`collection_of` where only the tenant is known."""
    found = homes_of(session, tenant_id, [name])
    if not found:
        raise no_collection(name)
    return found[0]


def homes_of(session: Session, tenant_id: uuid.UUID, names: Sequence[str]) -> list[SearchTarget]:
    """Those of the collections that are there, in this order."""
    with scope(session, tenant_id):
        there = rankings.homes(session, tenant_id, names)
    return [SearchTarget(home.name, home.model, home.dimensions) for home in there]


def search(
    session: Session,
    tenant_id: uuid.UUID,
    collection: str,
    query: str | Sequence[str],
    vector: NDArray[np.float32],
    *,
    model: str,
    top_k: int,
    threshold: float | None = None,
    filter: Filter | None = None,
    neighbours: int = 0,
    words_weight: float | None = None,
) -> list[Passage]:
    """The `top_k` chunks that answer the query best, the best first: by meaning and by words, fused.

    `vector` is the query's, (d,), and `model` made it; of several queries they are (n, d), and a chunk's score is its
    best. Chunks whose score is under the threshold are left out, so are those of documents for which the filter doesn't
    hold, and all but one of those with the same text. With `neighbours` each is shown with so many chunks before and
    after it. `words_weight`, 0 to 1, is the words' part of the score, where that isn't to be as usual. Raises
    `NotFound`, `CollectionSwitched` when its vectors are another model's, or another's of this name are, and
    `DimensionsDiffer`. The rest of the transaction stays within the tenant's scope: the search is the last thing done
    in it, as it spares PostgreSQL a statement.
    """
    queries, vectors = [query] if isinstance(query, str) else query, np.atleast_2d(vector)
    depth = max(_DEPTH, 2 * top_k)
    enter_scope(session, tenant_id, rankings.settings(depth))
    homes = rankings.homes(session, tenant_id, [collection])
    if not homes:
        raise no_collection(collection)
    _check(homes[0], model, vectors.shape[1])
    if homes[0].dimensions is None:
        return []
    [looker] = _lookers(session, tenant_id, homes, filter, words_weight)
    lists = []
    for one, near in zip(queries, vectors, strict=True):
        [asked] = words.asked(session, [looker.worded], wording.spaced(one))
        lists.append(looker.look(asked, near, depth))
    scored = [one for one in best(lists) if threshold is None or one.score >= threshold]
    found = _different(session, tenant_id, scored, top_k)
    if neighbours:
        found = passages.joined(found, chunks.told(session, tenant_id, passages.beside(found, neighbours)))
    return found


@dataclass(frozen=True, slots=True)
class Across:
    """What several collections have, and those whose vectors are other models', by name and model."""

    found: list[Passage]
    left: list[tuple[str, str]]


def across(
    session: Session,
    tenant_id: uuid.UUID,
    names: Sequence[str],
    query: str,
    vector: NDArray[np.float32],
    *,
    model: str,
    top_k: int,
    threshold: float | None = None,
    filter: Filter | None = None,
    words_weight: float | None = None,
) -> Across:
    """`search` in several collections at once, those that are there and whose vectors are this model's: in as many
    statements as in one, and another for each that is large."""
    depth = max(_DEPTH, 2 * top_k)
    enter_scope(session, tenant_id, rankings.settings(depth))
    there = rankings.homes(session, tenant_id, names)
    mine = [home for home in there if home.model == model and home.dimensions is not None]
    for home in mine:
        _check(home, model, len(vector))
    lookers = _lookers(session, tenant_id, mine, filter, words_weight)
    asked = words.asked(session, [looker.worded for looker in lookers], wording.spaced(query)) if lookers else []
    both = list(zip(lookers, asked, strict=True))
    small = [(looker, words_of) for looker, words_of in both if looker.is_small]
    asks = [across_table.Ask(looker.reach, words_of, looker.few) for looker, words_of in small]
    lists = [
        fuse(hits, words_of.best, looker.words_weight)
        for (looker, words_of), hits in zip(small, across_table.ranked(session, asks, vector, depth), strict=True)
    ]
    lists += [looker.look(words_of, vector, depth) for looker, words_of in both if not looker.is_small]
    scored = [one for one in best(lists) if threshold is None or one.score >= threshold]
    left = [(home.name, home.model) for home in there if home.model != model]
    return Across(_different(session, tenant_id, scored, top_k), left)


def fuse(rankings: Iterable[Sequence[Hit]], best: float, words_weight: float = WORDS_WEIGHT) -> list[Scored]:
    """One ranking of all that is in these, by a weighted mean of the cosine and of the words' part of their `best`.

    What both count for is between 0 and 1 for any query, so scores can be compared (a convex combination with
    theoretical bounds: Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", ACM Transactions
    on Information Systems 42(1), 2023). Equals by similarity.
    """
    scored = {}
    for ranking in rankings:
        for hit in ranking:
            words = min(1.0, hit.words / best) if best else 0.0
            score = (1 - words_weight) * max(0.0, hit.similarity) + words_weight * words
            scored[hit.key] = Scored(hit.key, min(1.0, score), hit.similarity, words)
    return sorted(scored.values(), key=_order)


def best(lists: Sequence[Sequence[Scored]]) -> list[Scored]:
    """One ranking of what several queries found: each chunk as it scores best."""
    if len(lists) == 1:
        return list(lists[0])
    found: dict[chunks.Key, Scored] = {}
    for one in (one for scored in lists for one in scored):
        if one.key not in found or found[one.key].score < one.score:
            found[one.key] = one
    return sorted(found.values(), key=_order)


def _different(session: Session, tenant_id: uuid.UUID, scored: Sequence[Scored], top_k: int) -> list[Passage]:
    """The passages of the best, none with the text of a better one; what was deleted at this moment has none any more.

    Texts are read a few at a time: seldom more than the first lot is needed.
    """
    found: list[Passage] = []
    for begin in range(0, len(scored), 2 * top_k):
        lot = scored[begin : begin + 2 * top_k]
        rows = chunks.told(session, tenant_id, [one.key for one in lot])
        found = passages.different(found + [passages.passage(one, rows[one.key]) for one in lot if one.key in rows])
        if len(found) >= top_k:
            break
    return found[:top_k]


def _order(scored: Scored) -> tuple[float, float, chunks.Key]:
    return -scored.score, -scored.similarity, scored.key


def _check(home: Home, model: str, dimensions: int) -> None:
    if home.model != model:
        raise errors.CollectionSwitched(home.name, home.model)
    if home.dimensions not in (None, dimensions):
        raise errors.DimensionsDiffer(home.name, dimensions, home.dimensions)


@dataclass(frozen=True, slots=True)
class _Looker:
    """How to look into a collection: `few` says that few of its chunks are within reach, `indexed` that an index has
    them all. `words_weight` is the words' part of the score."""

    session: Session
    reach: Reach
    worded: Worded
    words_weight: float
    few: bool
    indexed: bool

    @property
    def is_small(self) -> bool:
        """Whether each chunk within reach is looked at, of documents that are known."""
        return not isinstance(self.reach.among, Select) and (self.few or not self.indexed)

    def look(self, asked: Asked, vector: NDArray[np.float32], depth: int) -> list[Scored]:
        """What one query finds."""
        what = (self.session, self.reach, vector, asked)
        by_vectors: Way = "index" if self.indexed and not self.few else "vectors"
        by_words: Way = "all words" if self.few else "words"
        near, worded = rankings.ranked(*what, (by_vectors, by_words), depth=depth)
        if by_vectors == "index" and len(near) < depth:  # it gave up
            [near] = rankings.ranked(*what, ("vectors",), depth=depth)
        return fuse((near, worded), asked.best, self.words_weight)


def _lookers(
    session: Session, tenant_id: uuid.UUID, homes: Sequence[Home], filter: Filter | None, words_weight: float | None
) -> list[_Looker]:
    """How to look into each of these: a few statements for all."""
    unknown = [home.id for home in homes if home.indexed is None]
    totals = rankings.sizes(session, tenant_id, unknown)
    reaches = _reaches(session, tenant_id, homes, filter)
    made = []
    for home in homes:
        reach, few = reaches[home.id]
        total = totals.get(home.id, 0) if home.indexed is None else home.indexed
        weight = reading.leaning(WORDS_WEIGHT, home.unread) if words_weight is None else words_weight
        worded = Worded(home.id, wording.config(home.language), total)
        made.append(_Looker(session, reach, worded, weight, few=few, indexed=home.indexed is not None))
    return made


def _reaches(
    session: Session, tenant_id: uuid.UUID, homes: Sequence[Home], filter: Filter | None
) -> dict[uuid.UUID, tuple[Reach, bool]]:
    """What is searched of each, and whether that is few."""
    if filter is None:
        return {home.id: (Reach(tenant_id, home.id, home.hidden, second=home.second), False) for home in homes}
    holds = filters.condition(filter)
    sizes = rankings.sizes(session, tenant_id, [home.id for home in homes], holds)
    few = {home.id for home in homes if sizes.get(home.id, 0) <= FEW_CHUNKS}
    listed = rankings.documents(session, tenant_id, list(few), holds)
    made = {}
    for home in homes:
        own = (Document.tenant_id == tenant_id, Document.collection_id == home.id, Document.status == "ready", holds)
        among = listed[home.id] if home.id in few else select(Document.id).where(*own)
        made[home.id] = Reach(tenant_id, home.id, (), among, home.second), home.id in few
    return made
