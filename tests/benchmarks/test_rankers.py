"""The measures by which searches are judged, on rankings that can be checked by hand."""

import math

import numpy as np
import pytest

from benchmarks import rankers
from benchmarks.rankers import Bm25


def test_measures_of_a_ranking_that_finds_half_of_the_answers() -> None:
    found = rankers.measured([[7, 1, 8, 2]], [frozenset({1, 2, 3, 4})])
    gain = 1 / math.log2(3) + 1 / math.log2(5)
    best = sum(1 / math.log2(place + 1) for place in range(1, 5))
    assert (found.recall_1, found.recall_5, found.recall_10, found.reciprocal) == (0, 0.5, 0.5, 0.5)
    assert found.gain_10 == pytest.approx(gain / best)


def test_measures_are_means_over_questions() -> None:
    found = rankers.measured([[1], []], [frozenset({1}), frozenset({2})])
    assert rankers.columns(found) == ("0.500",) * 5


def test_bm25_prefers_the_rare_word_and_the_short_text() -> None:
    index = Bm25([["a", "b"], ["a", "c"], ["a", "c", "d", "d", "d", "d"], ["a"]])
    assert index.ranked(["c", "a"])[:2] == [1, 2]
    assert index.ranked(["b"]) == [0]
    assert index.ranked(["nowhere"]) == []


def test_grams_run_over_spaces() -> None:
    assert rankers.grams("Ab  c", 2) == [" a", "ab", "b ", " c", "c "]


def test_text_is_as_near_as_its_nearest_vector() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    assert rankers.nearest(vectors, [5, 6, 5], np.array([0, 1], np.float32)) == [6, 5]


def test_what_both_rankings_have_comes_first() -> None:
    assert rankers.fused([[1, 2], [3, 2]])[0] == 2
