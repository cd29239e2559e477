"""Logarithmic probabilities as JSON can have them."""

import math

import pytest

from tasks import errors
from tasks.models.logprobs import NEVER, Logprob


def test_token_that_could_not_come_has_a_number_all_the_same() -> None:
    """OpenAI's: a client that reads it knows what it means."""
    assert Logprob.of(b"a", -math.inf) == Logprob("a", NEVER)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_no_probability_is_the_engines_fault(number: float) -> None:
    with pytest.raises(errors.EngineError, match="finite"):
        Logprob.of(b"a", number)


def test_bytes_are_kept_where_the_text_can_not_tell_them() -> None:
    """A part of a character is shown as a replacement character, which may be a whole character of an answer too."""
    assert Logprob.of("日".encode()[:2], -1.0) == Logprob("\ufffd", -1.0, raw=b"\xe6\x97")
    assert Logprob.of("\ufffd".encode(), -1.0).raw is None
    assert [Logprob.of(piece, -1.0).piece for piece in (b"a", b"\xe6")] == [b"a", b"\xe6"]
