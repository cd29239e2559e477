"""What a dry run says; that it is what is done is held by `tests/flow/test_summaries.py`."""

import pytest

from db.session import Sessions
from tasks.models.catalog import Model
from tasks.summaries import estimates
from tasks.summaries.manner import Manner


@pytest.mark.parametrize(
    ("types", "context", "characters", "parts"),
    [(("chat",), 32_768, 800_000, 66), (("generate",), 32_768, 7_000, 5), (("generate",), 2048, 7_000, 5)],
)
def test_parts_are_as_small_as_they_are_cut(
    sessions: Sessions, types: tuple[str, ...], context: int, characters: int, parts: int
) -> None:
    """However large the context is; those of a model that doesn't do as told smaller still."""
    model = Model("large", "llamacpp", context, 4, types)
    with sessions() as session:
        found = estimates.of(session, model, Manner(), [characters], combine=False)
    assert found.levels[0] == parts
