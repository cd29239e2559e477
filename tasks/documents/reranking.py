"""Passages that a search found, put into the order in which a reranker likes them."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

# So many of a search's passages are read with the query: more find little more, and each is a pair to be computed.
CANDIDATES = 30

P = TypeVar("P", bound=Mapping[str, Any])  # a passage as clients see it


def candidates(top_k: int) -> int:
    """How many passages are to be found where the best `top_k` of them are wanted."""
    return max(CANDIDATES, top_k)


def by_relevance(passages: Sequence[P], ranked: Sequence[Mapping[str, Any]]) -> list[P]:
    """The passages that a reranker was given, as its results order them; what it gave each is its `score`."""
    return [cast(P, {**passages[row["index"]], "score": row["relevance_score"]}) for row in ranked]
