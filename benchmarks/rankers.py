"""What a search is held against, written out as textbooks have it, and the measures that both are held by."""

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009: their usual values.
_K1, _B = 1.2, 0.75
_FUSION_K = 60


class Bm25:
    """Every text scored by the terms of a question (Robertson and Zaragoza, equation 3.15)."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self._count = len(texts)
        self._found: dict[str, list[tuple[int, int]]] = collections.defaultdict(list)
        for number, terms in enumerate(texts):
            for term, repeats in collections.Counter(terms).items():
                self._found[term].append((number, repeats))
        lengths = np.array([len(terms) for terms in texts], np.float64)
        self._norms = _K1 * (1 - _B + _B * lengths / lengths.mean())

    def ranked(self, question: Iterable[str]) -> list[int]:
        """The numbers of the texts that have any of the terms, the best first."""
        scores: dict[int, float] = collections.defaultdict(float)
        for term in sorted(set(question)):
            found = self._found.get(term, [])
            rarity = math.log1p((self._count - len(found) + 0.5) / (len(found) + 0.5))
            for number, repeats in found:
                scores[number] += rarity * repeats * (_K1 + 1) / (repeats + self._norms[number])
        return sorted(scores, key=lambda number: (-scores[number], number))


def grams(text: str, length: int) -> list[str]:
    """The text's runs of so many characters, spaces among them, in small letters."""
    tidy = f" {' '.join(text.lower().split())} "
    return [tidy[start : start + length] for start in range(len(tidy) - length + 1)]


def nearest(vectors: NDArray[np.float32], owners: Sequence[int], question: NDArray[np.float32]) -> list[int]:
    """The texts by the cosine of the nearest of their vectors, which have length 1; `owners` are the vectors' texts."""
    return distinct(owners[place] for place in np.argsort(-(vectors @ question), kind="stable"))


def fused(rankings: Iterable[Sequence[int]], depth: int = 100) -> list[int]:
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""
    points: dict[int, float] = collections.defaultdict(float)
    for ranking in rankings:
        for place, number in enumerate(ranking[:depth], start=1):
            points[number] += 1 / (_FUSION_K + place)
    return sorted(points, key=lambda number: (-points[number], number))


def distinct(numbers: Iterable[int]) -> list[int]:
    """Each number once, where it comes first."""
    return list(dict.fromkeys(numbers))


@dataclass(frozen=True, slots=True)
class Measures:
    """Means over questions: the share of a question's answers among the first texts, the reciprocal of the first
    answer's place, and the discounted cumulative gain of the first ten beside the best that there could be."""

    recall_1: float
    recall_5: float
    recall_10: float
    reciprocal: float
    gain_10: float


def measured(rankings: Sequence[Sequence[int]], answers: Sequence[frozenset[int]]) -> Measures:
    rows = [_row(ranking, right) for ranking, right in zip(rankings, answers, strict=True)]
    return Measures(*(float(np.mean(column)) for column in zip(*rows, strict=True)))


def _row(ranking: Sequence[int], right: frozenset[int]) -> tuple[float, ...]:
    recall = [sum(number in right for number in ranking[:count]) / len(right) for count in (1, 5, 10)]
    reciprocal = next((1 / place for place, number in enumerate(ranking, 1) if number in right), 0.0)
    gain = sum(1 / math.log2(place + 1) for place, number in enumerate(ranking[:10], 1) if number in right)
    best = sum(1 / math.log2(place + 1) for place in range(1, min(10, len(right)) + 1))
    return (*recall, reciprocal, gain / best)


def columns(measures: Measures) -> tuple[str, ...]:
    """As tables show them, with three digits behind the point: so little makes a difference."""
    return tuple(f"{getattr(measures, name):.3f}" for name in Measures.__slots__)


COLUMNS: Mapping[str, str] = dict(zip(Measures.__slots__, ("R@1", "R@5", "R@10", "MRR", "nDCG@10"), strict=True))
