"""The stages that run on an embedding model: an embed job's texts, a question's passages, a document's chunks."""

import itertools
import uuid
from collections.abc import Callable, Sequence

from tasks import attempts, chunking, documents, errors, ids, questions, stages
from tasks.chunking import Piece
from tasks.jobs import Onward, Outcome
from tasks.lifecycle import Status
from workers import ingestion
from workers.attempt import Attempt
from workers.batcher import Tokens
from workers.pen import Pen
from workers.reporter import Reporter
from workers.worker import Worker

CHUNK_TOKENS = 128
OVERLAP_TOKENS = 16

_LOT = 256  # texts tokenised in one exchange

Heard = Callable[[float, int], None]  # the part of a document that is embedded, and the tokens that took


def embed(worker: Worker, attempt: Attempt, pen: Pen) -> Outcome:
    """An embed job, to its end. Raises `ContextLengthExceeded` naming the text, and what the batcher raises."""
    reporter = Reporter(attempt, pen, worker.id)
    tokens = tokenized(worker, attempt, attempt.claim.input["texts"])
    count, spent = len(tokens), [0, *itertools.accumulate(map(len, tokens))]
    vectors = worker.batcher.embed(tokens, attempt.check, lambda done: reporter.report(done, count, spent[done]))
    link = f"/v1/jobs/{ids.show(attempt.claim.job_id)}"
    result = {"count": count, "dimensions": vectors.shape[1], "link": link}
    return Outcome(Status.SUCCEEDED, spent[-1], 0, result, progress=(count, count), vectors=vectors)


def retrieve(worker: Worker, attempt: Attempt, pen: Pen) -> Onward:  # noqa: ARG001 it has nothing to tell yet
    """The passages for a question, handed to the model that answers. Raises `CollectionGone`."""
    claim = attempt.claim
    question, name = claim.input["question"], claim.input["collection"]
    tokens = tokenized(worker, attempt, [question])
    vector = worker.batcher.embed(tokens, attempt.check)[0]
    top_k = claim.input.get("top_k", questions.TOP_K)
    try:
        with worker.sessions.begin() as session:
            found = documents.search(
                session, claim.tenant_id, name, question, vector, top_k=top_k, threshold=None, filter=None
            )
    except errors.NotFound as error:
        raise errors.CollectionGone(str(error)) from error
    handed = {"passages": [passage.as_json() for passage in found]}
    return Onward(stages.GENERATE, claim.shown_model, handed, embedding_tokens=len(tokens[0]))


def embed_documents(worker: Worker, attempt: Attempt, pen: Pen) -> Outcome:
    """The documents of an ingest job, cut, embedded and stored one after the other.

    A document is stored whole or not at all, so that another attempt goes on with the first that is missing.
    """
    claim = attempt.claim
    reporter = Reporter(attempt, pen, worker.id)
    with worker.sessions.begin() as session:
        waiting = documents.pending(session, claim.tenant_id, claim.job_id)
    total, done, spent = sum(document.bytes for document in waiting), 0, 0
    for document in waiting:
        attempt.check()
        spent += _embed_document(worker, attempt, document.id, _scaled(reporter, done, document.bytes, total, spent))
        done += document.bytes
        reporter.report(done, total, spent)
    return ingestion.outcome(worker, attempt, (total, total))


def _embed_document(worker: Worker, attempt: Attempt, document_id: uuid.UUID, heard: Heard) -> int:
    """Stores the document's chunks; returns the tokens that took. Does nothing for one deleted meanwhile."""
    claim = attempt.claim
    with worker.sessions.begin() as session:
        text = documents.text(session, claim.tenant_id, document_id)
    if text is None:
        return 0
    pieces = cut(worker, attempt, text)
    if not pieces:
        with worker.sessions.begin() as session:
            documents.failed(session, claim.tenant_id, document_id, errors.UnreadableDocument.code, "it holds no text")
            attempts.guard(session, claim.job_id, claim.attempt)
        return 0
    tokens = tokenized(worker, attempt, [piece.text for piece in pieces])
    spent = [0, *itertools.accumulate(map(len, tokens))]
    vectors = worker.batcher.embed(tokens, attempt.check, lambda n: heard(n / len(pieces), spent[n]))
    with worker.sessions.begin() as session:
        documents.store(session, claim.tenant_id, document_id, pieces, vectors)
        attempts.guard(session, claim.job_id, claim.attempt)
    return spent[-1]


def _scaled(reporter: Reporter, before: int, size: int, total: int, spent: int) -> Heard:
    """Reports a part of a document as that part of its bytes."""
    return lambda part, tokens: reporter.report(before + int(size * part), total, spent + tokens)


def cut(worker: Worker, attempt: Attempt, text: str) -> list[Piece]:
    """The text's chunks, measured by the model's own tokens."""
    around = len(worker.loaded.tokenize([""])[0])  # what the model puts around every text

    def count(texts: Sequence[str]) -> list[int]:
        return [len(tokens) - around for tokens in _lots(worker, attempt, texts)]

    size = min(CHUNK_TOKENS, worker.loaded.context - around)
    return chunking.cut(text, count, size, min(OVERLAP_TOKENS, size // 4))


def tokenized(worker: Worker, attempt: Attempt, texts: Sequence[str]) -> list[Tokens]:
    """The tokens of each text. Raises `ContextLengthExceeded` naming the first that is too long."""
    context = worker.loaded.context
    tokens = _lots(worker, attempt, texts)
    for number, text in enumerate(tokens):
        if len(text) > context:
            raise errors.ContextLengthExceeded(f"text {number} has {len(text)} tokens; the model takes {context}")
    return tokens


def _lots(worker: Worker, attempt: Attempt, texts: Sequence[str]) -> list[Tokens]:
    tokens: list[Tokens] = []
    for start in range(0, len(texts), _LOT):
        attempt.check()
        tokens += worker.batcher.tokenize(texts[start : start + _LOT])
    return tokens
