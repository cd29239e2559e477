"""What stands before a text that is embedded, by what it is, on real PostgreSQL and Redis."""

from collections.abc import Sequence
from typing import Any

from db.session import Sessions
from tasks.keys import Caller
from tests import tables
from tests.workers.conftest import MakeWorker
from tests.workers.staged import asking, ingesting, submitted, written
from workers import run
from workers.engines.echo import Echo

LONG = " ".join(f"word{number}" for number in range(100))


class Heard(Echo):
    """Keeps what it was asked to embed, as texts."""

    def __init__(self, context: int = 64) -> None:
        super().__init__("embedder", 2, context, prefixes={"query": "query: ", "passage": "passage: "})
        self._texts: dict[tuple[int, ...], str] = {}
        self.embedded: list[str] = []

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        tokens = super().tokenize(texts)
        self._texts |= dict(zip(tokens, texts, strict=True))
        return tokens

    def embed(self, inputs: Sequence[Sequence[int]]) -> Any:
        self.embedded += [self._texts[tuple(ids)] for ids in inputs]
        return super().embed(inputs)


def test_chunks_are_embedded_as_passages_and_the_prefix_counts(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """No chunk of a long text has more tokens with it than the model takes."""
    engine = Heard(context=16)
    run.run(make_worker("embedder", engine), ingesting(sessions, caller, written("Anna has a cat."), written(LONG)))
    assert all(text.startswith("passage: ") for text in engine.embedded)
    assert any("Anna has a cat." in text for text in engine.embedded)
    assert max(len(text.split()) for text in engine.embedded) == 16


def test_question_over_documents_is_embedded_as_a_query(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """And what stands before it is paid for."""
    engine = Heard()
    worker = make_worker("embedder", engine)
    run.run(worker, ingesting(sessions, caller, written("Anna has a cat.")))
    job_id = asking(sessions, caller, "Who has one?")
    engine.embedded.clear()
    run.run(worker, job_id)
    assert engine.embedded == ["query: Who has one?"]
    assert tables.column(sessions, job_id, "embedding_tokens") == 4


def test_texts_of_an_embed_job_stand_as_they_are_unless_they_are_said_to_be_queries(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    engine = Heard()
    worker = make_worker("embedder", engine)
    for role in (None, "query"):
        given = {"texts": ["one", "two"], "role": role}
        run.run(worker, submitted(sessions, caller, type="embed", model="embedder", input=given, params={}))
    assert engine.embedded == ["one", "two", "query: one", "query: two"]
