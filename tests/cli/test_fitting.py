"""How much of a model fits."""

import pytest

from cli.launcher import fitting
from cli.launcher.fitting import Fit

# On ctransformers a file takes 1.1 times its bytes.
HEADER = {"file_bytes": 1000, "cache_bytes_per_token": 10, "context": 2048}
WEIGHTS = 1100


@pytest.mark.parametrize(
    ("cached_tokens", "context", "slots"),
    [
        (8192, 2048, 4),
        (8191, 2048, 2),
        (4095, 2048, 1),
        (2047, 1024, 1),
        (1023, 512, 1),
    ],
)
def test_slots_are_given_up_before_context(cached_tokens: int, context: int, slots: int) -> None:
    """Until it fits; a single slot with the whole context is worth more than two with half of it."""
    room_bytes = WEIGHTS + 10 * cached_tokens
    fit = fitting.best("ctransformers", HEADER, room_bytes)
    assert fit == Fit(context, slots, WEIGHTS + 10 * context * slots)


def test_model_that_has_no_room_has_no_fit() -> None:
    """What it needs at least can be told."""
    least = fitting.smallest("ctransformers", HEADER)
    assert least == WEIGHTS + 10 * 512
    assert fitting.best("ctransformers", HEADER, least) == Fit(512, 1, least)
    assert fitting.best("ctransformers", HEADER, least - 1) is None


@pytest.mark.parametrize(("trained", "context"), [(None, 4096), (0, 4096), (131072, 8192), (2048, 2048), (300, 300)])
def test_context_is_what_it_was_trained_for_within_bounds(trained: int | None, context: int) -> None:
    """A long one costs memory that few jobs need; of one that isn't told a middling one is tried."""
    fit = fitting.best("llamacpp", HEADER | {"context": trained}, 10**9)
    assert fit
    assert (fit.context, fit.slots) == (context, 4)
