"""Searching a collection: by meaning and by words, both rankings fused. Functions take a session and never commit."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db.documents import chunks, collections, index
from db.documents.chunks import Chunk, Hit
from db.documents.documents import Document
from db.scope import scope
from tasks import errors, ids
from tasks.documents import wording
from tasks.documents.library import no_collection
from tasks.keys import Caller

Scalar = str | int | float | bool

# Of each ranking so many are fused, and twice as many as are asked for at least.
_DEPTH = 50
# Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods",
# SIGIR 2009: each ranking gives an item 1 / (60 + its place).
_FUSION_K = 60
# Up to here every chunk is looked at: that misses nothing, and takes some 8 ms. Beyond, a vector in the index costs as
# much to look at as so many in a row (both measured; see docs/adr/0007).
FEW_CHUNKS = 20_000
WALK_COST = 30

ensure_index = index.ensure


@dataclass(frozen=True, slots=True)
class SearchTarget:
    """What has to be known of a collection to search it; `dimensions` is None until it has its first vectors."""

    name: str
    model: str
    dimensions: int | None


class PassageObject(TypedDict):
    """A chunk of a document that was found."""

    document_id: str
    chunk: Annotated[int, "Its number in the document, from 0."]
    score: Annotated[float, "What the order is by: how well it answers by meaning and by words together, 0 to 1."]
    similarity: Annotated[float, "Cosine similarity to the query, -1 to 1."]
    words: Annotated[float, "What it scores by the query's words."]
    text: str
    title: str | None
    filename: str | None
    external_id: str | None
    metadata: dict[str, Any]
    path: Annotated[list[str], "The headings that it stands under, the highest first."]
    page: Annotated[int | None, "Its page, from 1, where the document has pages."]
    begins: Annotated[int | None, "Where it begins in the document's text, in characters."]
    ends: Annotated[int | None, "Where it ends in the document's text: the character behind its last."]


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that was found. `score` is what the order is by, `similarity` and `words` what it is made of."""

    document_id: uuid.UUID
    chunk: int
    score: float
    similarity: float
    words: float
    text: str
    title: str | None
    filename: str | None
    external_id: str | None
    metadata: dict[str, Any]
    path: tuple[str, ...]
    page: int | None
    begins: int | None
    ends: int | None

    def as_json(self) -> PassageObject:
        """The passage as answers, events and results show it."""
        return {
            "document_id": ids.show(self.document_id, ids.DOCUMENT),
            "chunk": self.chunk,
            "score": self.score,
            "similarity": self.similarity,
            "words": self.words,
            "text": self.text,
            "title": self.title,
            "filename": self.filename,
            "external_id": self.external_id,
            "metadata": self.metadata,
            "path": list(self.path),
            "page": self.page,
            "begins": self.begins,
            "ends": self.ends,
        }


def collection_of(session: Session, caller: Caller, name: str) -> SearchTarget:
    """The tenant's collection, nothing in it counted. Raises `NotFound`, for another tenant's too."""
    return home_of(session, caller.tenant_id, name)


def home_of(session: Session, tenant_id: uuid.UUID, name: str) -> SearchTarget:
    """`collection_of` where only the tenant is known."""
    with scope(session, tenant_id):
        found = collections.find(session, tenant_id, name)
    if found is None:
        raise no_collection(name)
    return SearchTarget(found.name, found.model, found.dimensions)


def search(
    session: Session,
    tenant_id: uuid.UUID,
    collection: str,
    query: str,
    vector: NDArray[np.float32],
    *,
    model: str,
    top_k: int,
    threshold: float | None = None,
    filter: Mapping[str, Scalar] | None = None,
) -> list[Passage]:
    """The `top_k` chunks that answer the query best, the best first: by meaning and by words, fused.

    `vector` is the query's, (d,), and `model` made it. Chunks whose `score` is under the threshold are left out, and so
    are those of documents whose metadata hasn't all of the filter's pairs. Raises `NotFound`, `CollectionSwitched` when
    its vectors are another model's, or another's of this name are, and `DimensionsDiffer`.
    """
    with scope(session, tenant_id):
        home = collections.find(session, tenant_id, collection)
        if home is None:
            raise no_collection(collection)
        if home.model != model:
            raise errors.CollectionSwitched(collection, home.model)
        if home.dimensions is None:
            return []
        if home.dimensions != len(vector):
            raise errors.DimensionsDiffer(collection, len(vector), home.dimensions)
        where = (session, tenant_id, home.id)
        depth = max(_DEPTH, 2 * top_k)
        words, config = wording.spaced(query), wording.config(home.language)
        rankings = (
            _nearest(*where, vector, depth, filter, second=home.second),
            chunks.worded(*where, words, vector, config=config, depth=depth, second=home.second, labels=filter),
        )
        hits = fuse(rankings)
        hits = [(hit, score) for hit, score in hits if threshold is None or score >= threshold][:top_k]
        rows = chunks.told(session, tenant_id, [hit.key for hit, _ in hits])
    # What was deleted at this moment has no text any more.
    return [_passage(hit, score, *rows[hit.key]) for hit, score in hits if hit.key in rows]


def fuse(rankings: Sequence[Sequence[Hit]]) -> list[tuple[Hit, float]]:
    """One ranking of all that is in these, by reciprocal rank fusion; equals by similarity. 1 is the first of all."""
    points: dict[Hit, float] = {}
    for ranking in reversed(rankings):  # a hit of the words knows what it scores by them
        for place, hit in enumerate(ranking, start=1):
            points[hit] = points.get(hit, 0.0) + (_FUSION_K + 1) / (_FUSION_K + place) / len(rankings)
    return sorted(points.items(), key=lambda one: (-one[1], -one[0].similarity, one[0].key))


def _passage(hit: Hit, score: float, chunk: Chunk, document: Document) -> Passage:
    return Passage(
        document_id=chunk.document_id,
        chunk=chunk.number,
        score=round(score, 6),
        similarity=round(hit.similarity, 6),
        words=round(hit.words, 6),
        text=chunk.text,
        title=document.title,
        filename=document.filename,
        external_id=document.external_id,
        metadata=document.labels,
        path=tuple(chunk.path),
        page=chunk.page,
        begins=chunk.begins,
        ends=chunk.ends,
    )


def _nearest(
    session: Session,
    tenant_id: uuid.UUID,
    collection_id: uuid.UUID,
    vector: NDArray[np.float32],
    depth: int,
    filter: Mapping[str, Scalar] | None,
    *,
    second: bool,
) -> list[Hit]:
    """The ranking by meaning, through the index where that costs less than looking at every chunk.

    The index holds all tenants' chunks, so a walk passes by the more foreign ones, the smaller our part is; where it
    gives up early, or documents are filtered, every chunk is looked at.
    """
    where = (session, tenant_id, collection_id)
    if not filter and not second:
        own, indexed = chunks.sizes(*where, len(vector))
        if indexed is not None and own > FEW_CHUNKS and own * own > WALK_COST * depth * max(own, indexed):
            hits = chunks.walk(*where, vector, dimensions=len(vector), depth=depth)
            if len(hits) == depth:
                return hits
    return chunks.nearest(*where, vector, depth=depth, second=second, labels=filter)
