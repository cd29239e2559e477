"""Answers with schemas, all the way to a model and back: on both engines, and both kinds of vocabulary."""

from collections import Counter
from collections.abc import Iterator

import pytest

from benchmarks import schemas
from benchmarks.schemas import CUT, VALID, WRONG
from benchmarks.stacks import Stack


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with schemas.platform(tmp_path_factory.mktemp("schemas") / "all") as stack:
        yield stack


@pytest.mark.parametrize("engine", schemas.ENGINES)
def test_answers_are_valid_or_honest_errors(served: Stack, engine: str) -> None:
    """Of twenty generated schemas; most answers come to an end by themselves. `benchmarks.schemas` asks for more."""
    told = schemas.ask(served, engine, range(20))
    came = Counter(one.came for one in told)
    assert [one for one in told if one.came == WRONG] == []
    assert came[VALID] > came[CUT]
    assert came.total() == 20
