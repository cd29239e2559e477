"""The client library `replicate`, as it is, against a whole platform."""

import warnings
from collections.abc import Iterator

import pytest

from tests.support import catalogs
from tests.support.platform import Stack

with warnings.catch_warnings():  # of its own use of an older pydantic
    warnings.simplefilter("ignore")
    import replicate
    from replicate.exceptions import ModelError, ReplicateError

GIVEN = {"prompt": "Tell me a story about Anna.", "max_tokens": 12, "temperature": 0}


@pytest.fixture
def client(stack: Stack) -> Iterator[replicate.Client]:
    client = replicate.Client(api_token=stack.key, base_url=stack.url)
    yield client
    client._client.close()  # it has no other way


def test_model_is_run_and_its_output_awaited(client: replicate.Client) -> None:
    """In one call, in pieces, and by asking again and again: one and the same text."""
    text = "".join(client.run("forebay/demo-chat", input=GIVEN))
    assert text
    assert "".join(str(event) for event in client.stream("forebay/demo-chat", input=GIVEN)) == text
    prediction = client.predictions.create(version="demo-chat", input=GIVEN)
    assert prediction.status in ("starting", "processing")
    prediction.wait()
    assert (prediction.status, prediction.output) == ("succeeded", [text])
    assert prediction.metrics["output_token_count"] == 12
    assert client.run("forebay/demo-chat", input=GIVEN, wait=False) == [text]


@catalogs.without_embedding_model
def test_texts_are_embedded(client: replicate.Client) -> None:
    [vector] = client.run("forebay/demo-embed", input={"text": "one"})
    assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-3)


def test_prediction_is_cancelled_and_listed(client: replicate.Client) -> None:
    long = {"prompt": " ".join(["word"] * 200), "prompt_template": "{prompt}", "temperature": 0}
    prediction = client.models.predictions.create(("forebay", "echo"), input=long)
    prediction.cancel()
    assert prediction.status == "canceled"
    assert prediction.id in [one.id for one in client.predictions.list()]
    with pytest.raises(ReplicateError) as missing:
        client.predictions.get("0" * 32)
    assert (missing.value.status, missing.value.detail) == (404, f"no prediction {'0' * 32}")


def test_failures_are_told_as_it_knows_them(client: replicate.Client) -> None:
    """A prompt of more tokens than the model takes fails with its prediction; an unknown field before there is one."""
    with pytest.raises(ModelError, match="tokens"):
        client.run("forebay/demo-chat", input={"prompt": "word " * 1000})
    with pytest.raises(ReplicateError) as refused:
        client.run("forebay/demo-chat", input={**GIVEN, "wish": 1})
    assert refused.value.status == 422
    assert refused.value.detail.startswith("input.wish: ")
