"""OpenAI's requests for completions and embeddings, read into ours."""

from typing import Any

import marshmallow as ma
import pytest

from dialects.openai.requests.completions import CompletionRequest, submission
from dialects.openai.requests.embeddings import EmbeddingRequest
from dialects.openai.requests.embeddings import submission as embedding
from dialects.wishes import Wishes
from tasks import errors
from tasks.kinds.generation import Generation
from tasks.models.catalog import Model

WISHES = Wishes(60.0, False)
MODELS = {"m": Model("m", "llamacpp", context=64, slots=2, types=("embed",), dimensions=(384, 128))}


def read(**given: Any) -> Generation:
    return submission(CompletionRequest().load({"model": "m", **given}), WISHES).request


@pytest.mark.parametrize(
    ("prompt", "field", "value"),
    [
        ("a", "prompt", "a"),
        (["a"], "prompt", "a"),
        ([1, 2], "prompt_ids", (1, 2)),
        ([[1, 2]], "prompt_ids", (1, 2)),
        (["a", "b"], "prompts", ("a", "b")),
        ([[1], [2]], "prompts", ((1,), (2,))),
    ],
)
def test_a_prompt_has_many_shapes(prompt: Any, field: str, value: Any) -> None:
    """A text, token ids, or several of either."""
    assert getattr(read(prompt=prompt), field) == value


@pytest.mark.parametrize("prompt", ["", [], [""], [[]], [1, "a"], [1.5], [-1], [True], None, {"a": 1}])
def test_what_is_no_prompt_is_refused(prompt: Any) -> None:
    """Before anything else is looked at."""
    with pytest.raises(ma.ValidationError):
        read(prompt=prompt)


def test_the_best_are_kept_of_more() -> None:
    """All are made; without `best_of` all are given."""
    assert (read(prompt="a", n=2, best_of=5).choices, read(prompt="a", n=2, best_of=5).keep) == (5, 2)
    assert (read(prompt="a", n=2).choices, read(prompt="a", n=2).keep) == (2, None)
    with pytest.raises(errors.InvalidField):
        read(prompt=["a"] * 65, n=2)


def test_a_size_is_one_that_the_model_has() -> None:
    """Others are refused by name, with those that there are."""
    given = {"model": "m", "input": "a"}
    embedding(EmbeddingRequest().load({**given, "dimensions": 128}), WISHES, MODELS)
    with pytest.raises(errors.Unsupported, match="384, 128"):
        embedding(EmbeddingRequest().load({**given, "dimensions": 64}), WISHES, MODELS)
