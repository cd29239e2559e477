"""Which token comes next."""

import numpy as np
import pytest

from tasks import errors
from tests.workers.runs import params
from workers.engines import sampling

LOGITS = np.log(np.array([0.05, 0.5, 0.15, 0.3], dtype=np.float32))
ALL = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


def drawn(**changes: object) -> dict[int, int]:
    """How often each token comes in two thousand draws."""
    given = params(**(ALL | changes))
    chosen = [sampling.choose(LOGITS, given, [], number) for number in range(2000)]
    return {token: chosen.count(token) for token in sorted(set(chosen))}


def test_draws_follow_the_chances() -> None:
    """Within what two thousand draws of a fixed seed can tell."""
    shares = {token: count / 2000 for token, count in drawn().items()}
    assert shares == pytest.approx({0: 0.05, 1: 0.5, 2: 0.15, 3: 0.3}, abs=0.03)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"top_k": 3}, [1, 2, 3]),
        ({"top_k": 9}, [0, 1, 2, 3]),
        ({"top_p": 0.79}, [1, 3]),
        ({"top_p": 0.81}, [1, 2, 3]),
        ({"top_p": 0.01}, [1]),
        ({"min_p": 0.25}, [1, 2, 3]),
        ({"min_p": 0.35}, [1, 3]),
        ({"min_p": 1.0}, [1]),
        ({"top_k": 3, "top_p": 0.83}, [1, 3]),
        ({"temperature": 0.01}, [1]),
    ],
)
def test_unlikely_tokens_are_left_out(changes: dict[str, float], left: list[int]) -> None:
    """Each by its own rule, in llama.cpp's order."""
    assert list(drawn(**changes)) == left


def test_token_said_lately_is_less_likely() -> None:
    """Whatever the sign of its number; older ones are forgotten."""
    penalized = params(repetition_penalty=2.0)
    assert sampling.choose(LOGITS, penalized, [1], 0) == 3
    assert sampling.choose(-LOGITS, penalized, [0], 0) == 2
    assert sampling.choose(LOGITS, penalized, [1] + [0] * 64, 0) == 1
    assert LOGITS.argmax() == 1


def test_bias_makes_a_token_come_or_not() -> None:
    """Added to its number, whatever the others have."""
    assert sampling.choose(LOGITS, params(logit_bias={0: 100.0}), [], 0) == 0
    assert sampling.choose(LOGITS, params(logit_bias={1: -100.0}), [], 0) == 3
    assert LOGITS.argmax() == 1


def test_penalties_are_on_what_the_answer_has_said() -> None:
    """One once, the other each time; the prompt's tokens lose nothing."""
    once, each = params(presence_penalty=1.0), params(frequency_penalty=0.4)
    assert [sampling.choose(LOGITS, given, [1] * 9, 0) for given in (once, each)] == [1, 1]
    assert [sampling.choose(LOGITS, given, [1], 0, [1]) for given in (once, each)] == [3, 1]
    assert [sampling.choose(LOGITS, given, [1] * 2, 0, [1] * 2) for given in (once, each)] == [3, 3]
    assert sampling.choose(LOGITS, params(presence_penalty=-3.0), [0], 0, [0]) == 0


def test_what_is_not_allowed_is_never_drawn() -> None:
    """The rest is drawn by its own chances, also when it is what would have been left out."""
    allowed = np.array([True, False, False, True])
    given = params(**(ALL | {"top_k": 3}))
    chosen = [sampling.choose(LOGITS, given, [], number, (), allowed) for number in range(2000)]
    assert {token: chosen.count(token) / 2000 for token in set(chosen)} == pytest.approx(
        {0: 0.05 / 0.35, 3: 0.3 / 0.35}, abs=0.03
    )
    assert sampling.choose(LOGITS, params(top_k=1), [], 0, (), allowed) == 3
    assert sampling.choose(LOGITS, params(repetition_penalty=2.0), [3], 0, (), allowed) in (0, 3)


def test_likelihoods_are_the_models_own() -> None:
    """Of the token and of as many as are asked for, before anything is left out."""
    told = sampling.likelihood(LOGITS + 7, 2, 2, lambda token: b"abcd"[token : token + 1])
    assert (told.token, [each.token for each in told.top]) == ("c", ["b", "d"])
    assert [told.logprob, *(each.logprob for each in told.top)] == pytest.approx(np.log([0.15, 0.5, 0.3]), abs=1e-5)
    assert sampling.likelihood(LOGITS, 2, 0, lambda _: b"c").top == ()


def test_numbers_that_are_none_are_an_error() -> None:
    """Not a token."""
    with pytest.raises(errors.EngineError, match="finite"):
        sampling.choose(np.array([1.0, np.nan], dtype=np.float32), params(), [], 0)
