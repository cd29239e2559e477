"""How well questions are answered from documents, held to what was measured: `make quality` prints it."""

from collections.abc import Iterator

import httpx
import pytest

from benchmarks import quality
from benchmarks.quality import Outcome
from tests.support.platform import Stack

# Of 38 questions, 7 follow-ups and 15 that the corpus doesn't answer. The demo model knows some kinds of fact only, and
# no tables; another CPU's rounding may turn some of its answers over.
FOUND = {"question": 38, "follow-up": 7}
RIGHT = 17
REFUSED = 11
MISLEADING = 6  # wrong, with a citation all the same: of something else that a passage does say
ROUNDING = 2


@pytest.fixture(scope="module")
def outcomes(stack: Stack) -> Iterator[list[Outcome]]:
    """What became of all questions."""
    with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=70) as http:
        quality.bring(http)
        yield quality.ask(http, quality.read())


@pytest.mark.parametrize("kind", FOUND)
def test_chunk_that_says_it_is_found_and_put_to_the_model(outcomes: list[Outcome], kind: str) -> None:
    own = [outcome for outcome in outcomes if outcome.asked.kind == kind]
    assert sum(outcome.found for outcome in own) >= FOUND[kind] - 1
    assert sum(outcome.read for outcome in own) >= FOUND[kind] - ROUNDING


def test_answers_are_right_and_every_right_one_is_cited_right(outcomes: list[Outcome]) -> None:
    right = [outcome for outcome in outcomes if outcome.right]
    assert len(right) >= RIGHT - ROUNDING
    assert [outcome.asked.ask for outcome in right if not outcome.cited] == []


def test_few_wrong_answers_carry_a_citation(outcomes: list[Outcome]) -> None:
    assert sum(outcome.misleads for outcome in outcomes) <= MISLEADING + ROUNDING


def test_what_the_documents_do_not_say_is_refused(outcomes: list[Outcome]) -> None:
    """And what is refused rests on nothing."""
    absent = [outcome for outcome in outcomes if outcome.asked.kind == "absent"]
    assert sum(outcome.refused for outcome in absent) >= REFUSED - ROUNDING
    assert all(not outcome.result["citations"] for outcome in absent if outcome.refused)


def test_quality_questions_are_sixty() -> None:
    """As many as are told of, and each chunk that is named is in the corpus."""
    asked = quality.read()
    kinds = [each.kind for each in asked]
    assert {kind: kinds.count(kind) for kind in kinds} == {"question": 38, "follow-up": 7, "absent": 15}
    assert sum(bool(each.history) for each in asked) == 8
    for each in asked:
        if each.answer:
            assert each.says in (quality.FOLDER / "corpus" / each.file).read_text(encoding="utf-8")
