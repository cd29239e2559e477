"""`/v1/models` as OpenAI's client asks it."""

import pytest
from openai import NotFoundError, OpenAI

from tests.webapi.openai.conftest import CHAT


def test_models_are_listed_and_looked_at(sdk: OpenAI) -> None:
    """In OpenAI's shape, and with what ours says more."""
    listed = {model.id: model for model in sdk.models.list()}
    shown = sdk.models.retrieve(CHAT)
    assert listed[CHAT] == shown
    assert (shown.object, shown.owned_by, shown.shutdown_date) == ("model", "forebay", None)
    assert sdk.models.list().object == "list"
    assert shown.created > 1_700_000_000
    assert shown.to_dict()["context"] == 512


@pytest.mark.parametrize("name", ["none", "org/none", "ft:none:us/x:1"])
def test_a_model_that_isnt_there_is_told_by_its_name(sdk: OpenAI, name: str) -> None:
    """Names may have slashes and colons; to ask it something is answered alike."""
    with pytest.raises(NotFoundError) as looked:
        sdk.models.retrieve(name)
    with pytest.raises(NotFoundError) as asked:
        sdk.chat.completions.create(model=name, messages=[{"role": "user", "content": "Hi"}])
    assert (looked.value.code, asked.value.code) == ("model_not_found", "model_not_found")
    assert asked.value.param == "model"
    assert name in str(looked.value)
