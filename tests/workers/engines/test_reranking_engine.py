"""A cross-encoder on the real library, in its host, beside scores computed without it. Its weights are random."""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import random_reranker
from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import Reranker
from workers.batcher import Batcher
from workers.engines import loading
from workers.engines.llamacpp import LlamaCpp

QUERY = "where is the lamp?"
DOCUMENTS = ["the lamp is in the kitchen.", "oscar likes honey.", "", "lamp", "a-b c:d; e, f'g! 42"]
# llama.cpp looks the activation up in a table of half precision, for one.
CLOSE = 0.02


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    file = random_reranker.write(tmp_path_factory.mktemp("reranker") / "random.gguf")
    return Model("random", "llamacpp", context=128, slots=4, types=("rerank",), file=file)


@pytest.fixture(scope="module")
def engine(model: Model) -> Iterator[LlamaCpp]:
    loaded = loading.load(model, slots=4, threads=1)
    assert isinstance(loaded, LlamaCpp)
    yield loaded
    loaded.close()


def ids(text: str) -> list[int]:
    """The tokens of a text: letters, some of them within a word, as BERT takes words and punctuation apart."""
    known = random_reranker.words()
    found, inside = [], False
    for letter in text:
        found += [] if letter == " " else [known.index(f"##{letter}" if inside and letter.isalnum() else letter)]
        inside = letter.isalnum()
    return found


def scores(pairs: Sequence[tuple[str, str]]) -> list[float]:
    tensors = random_reranker.weights()
    read = [random_reranker.pair(ids(query), ids(document)) for query, document in pairs]
    return [random_reranker.score(tensors, each) for each in read]


def test_ranks_are_those_of_the_reference(engine: LlamaCpp) -> None:
    """And tokens are counted as they are read."""
    assert isinstance(engine, Reranker)
    pairs = engine.pairs(QUERY, DOCUMENTS)
    assert [len(pair) for pair in pairs] == [3 + len(ids(QUERY)) + len(ids(text)) for text in DOCUMENTS]
    ranks = engine.rank(pairs)
    expected = scores([(QUERY, document) for document in DOCUMENTS])
    assert np.ptp(expected) > 10 * CLOSE
    assert ranks.tolist() == pytest.approx(expected, abs=CLOSE)


def test_pairs_of_several_queries_get_each_its_own_rank(engine: LlamaCpp) -> None:
    """As when a batch has pairs of several jobs, mixed."""
    asked = [("lamp", "one"), (QUERY, "one"), ("lamp", "two"), (QUERY, "two"), ("honey?", "one")]
    pairs = [engine.pairs(query, [document])[0] for query, document in asked]
    assert engine.rank(pairs).tolist() == pytest.approx(scores(asked), abs=CLOSE)


def test_names_of_special_tokens_are_words(engine: LlamaCpp) -> None:
    """In either text: what a client writes neither ends a text nor begins another."""
    query, document = "is [SEP] it?", "[CLS] lamp [SEP][PAD]"
    [pair] = engine.pairs(query, [document])
    known = random_reranker.CONTROL
    count = len(engine.tokenize([query])[0]) + len(engine.tokenize([document])[0])
    assert len(pair) == count - 2 * 2 + 3
    assert not set(engine.tokenize([query])[0][1:-1]) & {known.index("[SEP]"), known.index("[CLS]")}
    whole = [*engine.tokenize([query])[0], *engine.tokenize([document])[0][1:]]
    expected = random_reranker.score(random_reranker.weights(), list(whole))
    assert engine.rank([pair]).tolist() == pytest.approx([expected], abs=CLOSE)


def test_pair_beyond_the_context_is_refused_and_the_engine_goes_on(engine: LlamaCpp) -> None:
    long = engine.pairs(QUERY, ["x" * 126])
    with pytest.raises(errors.EngineRefused, match="context"):
        engine.rank(long)
    assert len(engine.rank(engine.pairs(QUERY, ["x"]))) == 1


def test_pairs_of_a_host_that_dies_are_ranked_by_the_next(engine: LlamaCpp) -> None:
    """All of them, through the batcher, which tries those it was at alone."""
    pairs = engine.pairs(QUERY, [f"document {number}" for number in range(40)])
    expected = engine.rank(pairs)
    killed: list[int] = []

    def kill_once(done: int) -> None:
        if not killed:
            killed.append(engine.host.pid)
            os.kill(engine.host.pid, signal.SIGKILL)

    batcher = Batcher(engine)
    assert np.allclose(batcher.rank(pairs, lambda: None, kill_once), expected, atol=CLOSE)
    batcher.close()
    assert engine.host.pid not in killed


def test_model_that_writes_its_pairs_by_a_template_is_refused(model: Model, tmp_path: Path) -> None:
    """In such a text special tokens would be read as such."""
    file = random_reranker.write(tmp_path / "templated.gguf", template="<q>{query}<d>{document}")
    with pytest.raises(errors.EngineUnusable, match="template for pairs"):
        loading.load(replace(model, file=file), slots=1, threads=1)
