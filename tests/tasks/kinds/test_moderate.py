"""Moderations: what is put to the model, and what is read from its judgement."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import errors
from tasks.jobs.requests import Stored
from tasks.kinds.generation import Answer
from tasks.kinds.moderate import CATEGORIES, ModerateKind, Moderation
from tasks.models.logprobs import Logprob

KIND = ModerateKind()


def judged(harms: set[str], space: str = "") -> str:
    return json.dumps({name: name in harms for name in CATEGORIES}, separators=(",", f":{space}"))


def tokens(text: str, cuts: set[int], chance: float = 0.75, leading: str = "") -> tuple[Logprob, ...]:
    """The text in tokens; each was likely so, and the other truth value as likely as is left."""
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in itertools.pairwise(bounds)]
    made = [Logprob(piece, math.log(chance), (Logprob(_other(piece), math.log(1 - chance)),)) for piece in pieces]
    return (Logprob(leading, -0.1), *made) if leading else tuple(made)


def _other(piece: str) -> str:
    return piece.replace("true", "\0").replace("false", "true").replace("\0", "false")


def starts(text: str) -> set[int]:
    """Where the truth values begin and end."""
    found = set()
    for word in ("true", "false"):
        at = text.find(word)
        while at >= 0:
            found |= {at, at + len(word)}
            at = text.find(word, at + 1)
    return found


@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize("leading", ["", " ", "\n\n"])
def test_score_is_how_likely_true_was(space: str, leading: str) -> None:
    """Where each word is a token; also when the answer's first token was white space that isn't shown."""
    text = judged({"hate", "sexual/minors"}, space)
    result = KIND.result([Answer(text, "stop", logprobs=tokens(text, starts(text), leading=leading))])
    assert result["categories"] == json.loads(text)
    assert list(result["scores"]) == list(CATEGORIES)
    for name, score in result["scores"].items():
        assert score == pytest.approx(0.75 if result["categories"][name] else 0.25), name


@given(st.sets(st.integers(0, 400)), st.sets(st.sampled_from(CATEGORIES)))
def test_scores_agree_with_the_judgement_however_it_is_cut(cuts: set[int], harms: set[str]) -> None:
    """One half or more for what was judged so, and one for each harm, whatever the tokens tell."""
    text = judged(harms)
    result = KIND.result([Answer(text, "stop", logprobs=tokens(text, cuts, chance=0.9))])
    assert set(result["scores"]) == set(CATEGORIES)
    assert {name for name, score in result["scores"].items() if score >= 0.5} == harms


def test_judgement_without_probabilities_scores_all_or_nothing() -> None:
    result = KIND.result([Answer(judged({"violence"}), "stop")])
    assert result["scores"] == {name: float(name == "violence") for name in CATEGORIES}


def test_judgement_that_had_no_room_is_an_error() -> None:
    with pytest.raises(errors.AnswerUnfit, match="no room"):
        KIND.result([Answer('{"harassment": tr', "length")])


def test_each_text_is_judged_by_itself_and_the_same_for_every_attempt() -> None:
    asked = KIND.parse(Stored({"texts": ["one", "two"]}, {}))
    assert asked == Moderation(("one", "two"))
    first, second = KIND.singles(asked)
    composed = KIND.compose(first, {}, 512, lambda _: 0).generation
    assert composed.turns is not None
    assert [turn.role for turn in composed.turns] == ["system", "user"]
    assert composed.turns[1].text == "one"
    assert composed == KIND.compose(first, {}, 512, lambda _: 0).generation
    assert composed != KIND.compose(second, {}, 512, lambda _: 0).generation
