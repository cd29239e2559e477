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


def test_numbers_that_are_none_are_an_error() -> None:
    """Not a token."""
    with pytest.raises(errors.EngineError, match="finite"):
        sampling.choose(np.array([1.0, np.nan], dtype=np.float32), params(), [], 0)
