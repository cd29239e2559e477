"""`/v1/embeddings` as OpenAI's client asks it."""

import base64
import math
import struct

import httpx
import pytest
from openai import BadRequestError, OpenAI

from tests.support.catalogs import without_embedding_model
from tests.support.platform import Stack
from tests.webapi.openai.conftest import EMBEDDER, Jobs

pytestmark = without_embedding_model

TEXTS = ["The harbour is closed in winter.", "Who likes honey?", "A third text"]


def test_vectors_are_alike_however_they_are_sent(sdk: OpenAI, stack: Stack) -> None:
    """The client asks for base64 when nothing is said; numbers, when asked for, are the very same."""
    default = sdk.embeddings.create(model=EMBEDDER, input=TEXTS)
    floats = sdk.embeddings.create(model=EMBEDDER, input=TEXTS, encoding_format="float")
    asked = {"model": EMBEDDER, "input": TEXTS, "encoding_format": "base64"}
    raw = httpx.post(f"{stack.url}/v1/embeddings", json=asked, headers=stack.headers, timeout=30).json()
    assert [(row.index, row.object) for row in default.data] == [(place, "embedding") for place in range(3)]
    for sent, read, numbers in zip(raw["data"], default.data, floats.data, strict=True):
        vector = list(struct.unpack("<384f", base64.b64decode(sent["embedding"])))
        assert read.embedding == pytest.approx(vector)
        assert numbers.embedding == pytest.approx(vector, abs=1e-6)
        assert math.isclose(math.hypot(*vector), 1, abs_tol=1e-3)
    assert (default.object, default.model) == ("list", EMBEDDER)
    assert default.usage.total_tokens == default.usage.prompt_tokens > 10


def test_one_text_is_one_vector(sdk: OpenAI) -> None:
    """The same as among others, whatever its caller is called."""
    alone = sdk.embeddings.create(model=EMBEDDER, input=TEXTS[0], user="somebody", encoding_format="float")
    among = sdk.embeddings.create(model=EMBEDDER, input=TEXTS, encoding_format="float")
    assert alone.data[0].embedding == pytest.approx(among.data[0].embedding, abs=2e-2)


def test_token_ids_are_embedded_too(sdk: OpenAI) -> None:
    """One list of them, or several; each is one vector."""
    one = sdk.embeddings.create(model=EMBEDDER, input=[101, 2003, 102])
    several = sdk.embeddings.create(model=EMBEDDER, input=[[101, 2003, 102], [101, 2040, 102]])
    assert [len(one.data), len(several.data)] == [1, 2]
    assert len(one.data[0].embedding) == 384


def test_sizes_are_those_the_model_has(sdk: OpenAI) -> None:
    """The platform of the tests names none but its own."""
    with pytest.raises(BadRequestError) as refused:
        sdk.embeddings.create(model=EMBEDDER, input="text", dimensions=12)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "dimensions")


def test_two_thousand_and_forty_eight_are_taken_and_no_more(sdk: OpenAI, jobs: Jobs) -> None:
    """Whether they are is known before any is embedded."""
    asynchronously = {"Prefer": "respond-async"}
    taken = sdk.embeddings.with_raw_response.create(
        model=EMBEDDER, input=["a"] * 2048, extra_headers=asynchronously
    ).http_response
    assert taken.status_code == 202
    jobs.cancel(taken.json()["id"])
    with pytest.raises(BadRequestError) as refused:
        sdk.embeddings.create(model=EMBEDDER, input=["a"] * 2049, extra_headers=asynchronously)
    assert refused.value.param == "input"


def test_an_empty_text_is_told_by_its_place(sdk: OpenAI) -> None:
    """As OpenAI calls the field."""
    with pytest.raises(BadRequestError) as refused:
        sdk.embeddings.create(model=EMBEDDER, input=["a", ""])
    assert refused.value.param == "input.1"
