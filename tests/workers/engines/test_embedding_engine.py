"""The embedding model on the real library, in its host, beside vectors computed without it."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks import errors
from tasks.models import catalog
from tests.support.catalogs import without_embedding_model
from workers.batcher import Batcher
from workers.engines import loading
from workers.engines.llamacpp import LlamaCpp

ROOT = Path(__file__).parents[3]
MODEL = catalog.load(ROOT / "models" / "catalog.toml")["demo-embed"]
REFERENCE = json.loads((ROOT / "tests" / "models" / "minilm_reference.json").read_text(encoding="utf-8"))["texts"]
ODD = ["", " ", "[SEP] [CLS]", "日本語テキスト", "a\n\nb", "naïve café", "🎉" * 40, "x" * 300, '{"k": [1]}']

pytestmark = without_embedding_model


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCpp]:
    loaded = loading.load(MODEL, slots=4, threads=1)
    assert isinstance(loaded, LlamaCpp)
    yield loaded
    loaded.close()


def test_vectors_are_those_of_the_reference(engine: LlamaCpp) -> None:
    """Quantised to eight bits: the same direction within a thousandth or so, the same tokens, length 1."""
    tokens = engine.tokenize([entry["text"] for entry in REFERENCE])
    vectors = engine.embed(tokens)
    assert [len(ids) for ids in tokens] == [entry["tokens"] for entry in REFERENCE]
    assert vectors.shape == (len(REFERENCE), 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    cosines = np.sum(vectors * np.array([entry["vector"] for entry in REFERENCE]), axis=1)
    assert cosines.min() > 0.997


def test_meaning_is_nearer_than_words(engine: LlamaCpp) -> None:
    cat, feline, stocks = engine.embed(engine.tokenize(["a cat", "a feline animal", "the stock market"]))
    assert cat @ feline > cat @ stocks + 0.3


def test_texts_tokenised_together_have_the_tokens_each_has_alone(engine: LlamaCpp) -> None:
    """Also what looks like a special token is plain text, and an empty text is what surrounds it."""
    assert engine.tokenize(ODD) == [engine.tokenize([text])[0] for text in ODD]
    around = engine.tokenize([""])[0]
    assert len(around) == 2
    assert not set(around) & set(engine.tokenize(["[SEP] [CLS]"])[0][1:-1])


def test_text_beyond_the_context_is_refused_and_the_engine_goes_on(engine: LlamaCpp) -> None:
    with pytest.raises((errors.EngineRefused, errors.EngineError)):
        engine.embed([engine.tokenize(["word " * 600])[0]])
    assert engine.embed(engine.tokenize(["still here"])).shape == (1, 384)


def test_host_death_under_a_batch_is_not_to_be_seen(engine: LlamaCpp) -> None:
    """The texts that were in it are embedded by the next host."""
    tokens = engine.tokenize([f"text number {number}" for number in range(40)])
    calm = engine.embed(tokens[:16])
    seen: list[int] = []

    def kill_once(done: int) -> None:
        if not seen:
            os.kill(engine.host.pid, signal.SIGKILL)
        seen.append(done)

    vectors = Batcher(engine).embed(tokens, lambda: None, kill_once)
    assert vectors.shape == (40, 384)
    assert np.allclose(vectors[:16], calm, atol=1e-2)


def test_a_model_that_writes_does_not_embed() -> None:
    loaded = loading.load(replace(catalog.load(ROOT / "models" / "catalog.toml")["demo-chat"]), slots=1, threads=1)
    try:
        with pytest.raises(errors.EngineRefused):
            loaded.embed([(1, 2, 3)])
    finally:
        loaded.close()
