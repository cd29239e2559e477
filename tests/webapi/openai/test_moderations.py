"""`/v1/moderations` as OpenAI's client asks it, of the demo model, whose judgement is worth nothing."""

from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tasks.kinds.moderate import CATEGORIES
from tests.webapi.openai.conftest import CHAT, SLOW


@pytest.mark.parametrize(
    ("given", "count"),
    [("Hello", 1), (["Hello", "there"], 2), ([{"type": "text", "text": "Hello"}], 1)],
)
def test_texts_are_judged_harm_by_harm(sdk: OpenAI, given: Any, count: int) -> None:
    """One, several, or parts; by the model that the catalogue has for it, asked by its name or not."""
    judged = sdk.moderations.create(input=given)
    assert judged.results == sdk.moderations.create(input=given, model=CHAT).results
    assert (judged.model, len(judged.results)) == (CHAT, count)
    assert judged.id.startswith("modr-")
    for result in judged.results:
        told = result.to_dict()
        assert set(CATEGORIES) <= set(told["categories"]) & set(told["category_scores"])  # type: ignore[call-overload]
        assert set(CATEGORIES) <= set(told["category_applied_input_types"])  # type: ignore[call-overload]
        assert result.flagged == any(told["categories"].values())  # type: ignore[union-attr]
        assert all(0 <= score <= 1 for score in told["category_scores"].values())  # type: ignore[union-attr]


def test_only_a_model_for_it_judges(sdk: OpenAI) -> None:
    """Another is told of as one that isn't there, or can't."""
    with pytest.raises(NotFoundError):
        sdk.moderations.create(input="Hello", model="none")
    with pytest.raises((NotFoundError, BadRequestError)):
        sdk.moderations.create(input="Hello", model=SLOW)


def test_pictures_are_refused_by_their_place(sdk: OpenAI) -> None:
    """So a client knows which it was."""
    picture: Any = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    with pytest.raises(BadRequestError) as refused:
        sdk.moderations.create(input=[picture])
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "input.0.type")
