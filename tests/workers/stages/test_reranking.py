"""Documents reranked by a model, on real PostgreSQL and Redis with the echo engine, which counts common words."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import random_reranker
from db.session import Sessions
from tasks import errors
from tasks.jobs import stages
from tasks.keys import Caller
from tasks.kinds import rerank as kind
from tasks.models.catalog import Model
from tasks.models.engine import Pair, Reranker
from tests import tables
from tests.workers.conftest import MakeWorker
from tests.workers.staged import ingesting, look, submitted, written
from workers import run
from workers.batcher import Batcher
from workers.engines import loading
from workers.engines.echo import Echo
from workers.stages import rerank

QUERY = "where is the lamp"
ALL, HALF, NONE = "the lamp is where it was", "the lamp", "nothing of it"


def reranking(sessions: Sessions, caller: Caller, documents: Sequence[str], **asked: Any) -> uuid.UUID:
    given = {"query": QUERY, "documents": list(documents), **asked}
    return submitted(sessions, caller, type="rerank", model="reranker", input=given, params={})


def test_best_documents_come_first_with_scores_from_0_to_1(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """The score is the model's logit put through a sigmoid; usage is every token of every pair, once."""
    job_id = reranking(sessions, caller, [HALF, NONE, ALL])
    run.run(make_worker("reranker"), job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    assert [row["index"] for row in record.result["results"]] == [2, 0, 1]
    sure = 1 / (1 + math.exp(-4))
    scores = [row["relevance_score"] for row in record.result["results"]]
    assert scores == pytest.approx([sure, 0.5, 1 - sure], abs=1e-6)
    tokens = 3 * 4 + 2 + 3 + 6
    assert record.result["tokens"] == tokens == record.spent.embedding
    assert (record.spent.prompt, record.spent.completion) == (0, 0)


def test_only_the_best_are_told_where_so_many_are_asked_for(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    job_id = reranking(sessions, caller, [NONE, ALL, HALF, ALL], top_n=2)
    run.run(make_worker("reranker"), job_id)
    result = look(sessions, caller, job_id).result
    assert result is not None
    assert [row["index"] for row in result["results"]] == [1, 3]  # of equals the earlier


def test_document_too_long_for_the_model_fails_the_job_by_number(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    job_id = reranking(sessions, caller, [ALL] * 70 + ["word " * 61])
    run.run(make_worker("reranker"), job_id)
    assert look(sessions, caller, job_id).error == {
        "code": "context_length_exceeded",
        "message": "document 70 has 65 tokens with the query; the model takes 64",
    }


def test_query_that_leaves_no_room_fails_the_job_though_documents_are_cut(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    given = {"query": "word " * 64, "documents": [ALL], "truncation": True}
    job_id = submitted(sessions, caller, type="rerank", model="reranker", input=given, params={})
    run.run(make_worker("reranker"), job_id)
    error = look(sessions, caller, job_id).error
    assert error is not None
    assert error["message"] == "the query has 64 tokens; the model takes 64"


def test_of_long_documents_as_much_is_read_as_there_is_room_for() -> None:
    """Each is cut by itself; one that fits stays whole."""
    batcher = Batcher(Echo("echo", 1, 64))
    long = ["word " * length for length in (61, 100, 3000)]
    pairs = rerank.paired(batcher, QUERY, [ALL, *long], cuts=True)
    assert pairs[0].document == ALL
    assert [pair.tokens for pair in pairs[1:]] == [64, 64, 64]
    assert all(text.startswith(pair.document) for text, pair in zip(long, pairs[1:], strict=True))


@dataclass(slots=True)
class Dying(Echo):
    """Dies, as a worker does, when it is to rank for the second time."""

    calls: int = 0

    def rank(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        self.calls += 1
        if self.calls == 1 + rerank.LOT // 16:
            raise errors.EngineError("cut off")
        return Echo.rank(self, pairs)


def test_lots_that_were_done_are_neither_done_nor_charged_again(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """An attempt that ends after its first lot: the next one ranks the rest, and the result is whole."""
    documents = [NONE] * rerank.LOT + [ALL, HALF]
    job_id = reranking(sessions, caller, documents)
    assert tables.column(sessions, job_id, "stage") == stages.RERANK_MANY
    dying = Dying("reranker", 2, 64)
    run.run(make_worker("reranker", dying), job_id)
    assert look(sessions, caller, job_id).status == "queued"  # the system's fault: another attempt follows
    tables.dispatch(sessions, job_id)
    second = Dying("reranker", 2, 64, calls=100)
    run.run(make_worker("reranker", second), job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    assert [row["index"] for row in record.result["results"]][:3] == [rerank.LOT, rerank.LOT + 1, 0]
    assert len(record.result["results"]) == len(documents)
    assert second.calls == 101
    tokens = sum(4 + len(text.split()) for text in documents)
    assert record.result["tokens"] == record.spent.embedding == tokens


def test_logits_of_any_size_become_scores() -> None:
    assert [kind.relevance(rank) for rank in (0, 1000, -1000)] == [0.5, 1, 0]
    assert kind.relevance(-11) == pytest.approx(1.67e-5, rel=1e-2)


def test_passages_of_a_question_are_chosen_by_the_reranker(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Among more than are wanted; one job, through three models, charged for what each has read."""
    texts = [written(f"Note {number}: the lamp is green.") for number in range(12)]
    run.run(make_worker("embedder"), ingesting(sessions, caller, *texts, written("Where is the lamp? Where it was.")))
    given = {"question": "Where is the lamp?", "collection": "facts", "top_k": 2, "rerank": True}
    job_id = submitted(sessions, caller, type="rag", input=given, params={"temperature": 0})
    run.run(make_worker("embedder"), job_id)
    assert [tables.column(sessions, job_id, name) for name in ("stage", "queue")] == [
        stages.RERANK_PASSAGES,
        "reranker",
    ]
    spent = tables.column(sessions, job_id, "embedding_tokens")
    tables.dispatch(sessions, job_id)
    run.run(make_worker("reranker"), job_id)
    assert [tables.column(sessions, job_id, name) for name in ("stage", "queue")] == [stages.GENERATE, "alpha"]
    handed = tables.column(sessions, job_id, "stage_input")["passages"]
    assert len(handed) == 2
    assert handed[0]["text"] == "Where is the lamp? Where it was."
    assert handed[0]["score"] == kind.relevance(4.0) > handed[1]["score"]
    assert tables.column(sessions, job_id, "embedding_tokens") > spent + 13 * 4


def test_question_names_a_reranker_that_is_there(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    run.run(make_worker("embedder"), ingesting(sessions, caller, written(ALL)))
    for name in ("nobody", "embedder"):
        given = {"question": "Where?", "collection": "facts", "rerank": name}
        with pytest.raises(errors.ModelUnknown) as refused:
            submitted(sessions, caller, type="rag", input=given, params={})
        assert refused.value.field == "input.rerank"


def test_documents_are_ranked_by_a_cross_encoder_in_its_host(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, tmp_path: Path
) -> None:
    """Of random weights: the order is that of what NumPy computes of the same weights."""
    file = random_reranker.write(tmp_path / "random.gguf")
    engine = loading.load(Model("reranker", "llamacpp", 128, 2, ("rerank",), file), slots=2, threads=1)
    assert isinstance(engine, Reranker)
    texts = ["a", "b", "c", "d", "e", "f", "g"]
    job_id = reranking(sessions, caller, [*texts, "g" * 500], truncation=True)
    run.run(make_worker("reranker", engine), job_id)
    result = look(sessions, caller, job_id).result
    assert result is not None
    scores = {row["index"]: row["relevance_score"] for row in result["results"]}
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    known, tensors = random_reranker.words(), random_reranker.weights()
    query = [known.index(each) for each in (
        "w", "##h", "##e", "##r", "##e", "i", "##s", "t", "##h", "##e", "l", "##a", "##m", "##p"
    )]  # fmt: skip
    for place, letter in enumerate(texts):
        expected = random_reranker.score(tensors, random_reranker.pair(query, [known.index(letter)]))
        assert scores[place] == pytest.approx(kind.relevance(expected), abs=0.005)
    assert result["tokens"] == len(texts) * (3 + len(query) + 1) + 128
