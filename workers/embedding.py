"""The stages that run on an embedding model: an embed job's texts, a question's passages, a document's chunks."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks import attempts, errors, ids, stages
from tasks.documents import chunking, intake, questions, ranking
from tasks.documents.chunking import Piece
from tasks.documents.intake import Pending
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

# Stored in one transaction, of well under a second: others wait for it who delete the document, or end the job.
CHUNKS_OF_A_LOT = 128

_LOT = 256  # texts tokenised in one exchange


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
            found = ranking.search(session, claim.tenant_id, name, question, vector, model=worker.model, top_k=top_k)
    except errors.NotFound as error:
        raise errors.CollectionGone(str(error)) from error
    handed = {"passages": [passage.as_json() for passage in found]}
    return Onward(stages.GENERATE, claim.shown_model, handed, embedding_tokens=len(tokens[0]))


def embed_documents(worker: Worker, attempt: Attempt, pen: Pen) -> Outcome:
    """The documents of an ingest job, cut, embedded and stored one after the other; one that can't be fails alone.

    Chunks are stored lot by lot, so that another attempt goes on with the first lot that is missing.
    """
    claim = attempt.claim
    with worker.sessions.begin() as session:
        work = intake.work(session, claim.tenant_id, claim.job_id)
    tally = _Tally(Reporter(attempt, pen, worker.id), work.done, work.total)
    tally.tell(0)
    for document in work.waiting:
        attempt.check()
        try:
            _embed_document(worker, attempt, document, tally)
        except errors.JobError as error:
            attempt.check()
            ingestion.give_up(worker, attempt, document.id, error)
        tally.done += document.bytes
        tally.tell(0)
    return ingestion.outcome(worker, attempt, (work.total, work.total))


@dataclass(slots=True)
class _Tally:
    """How many of the job's bytes are done, and the tokens that this attempt was charged for."""

    reporter: Reporter
    done: int
    total: int
    charged: int = 0

    def tell(self, begun: float) -> None:
        """Reports that, and so many bytes of the document at hand."""
        self.reporter.report(self.done + int(begun), self.total, self.charged)


def _embed_document(worker: Worker, attempt: Attempt, document: Pending, tally: _Tally) -> None:
    """Stores the document's chunks, and makes it ready. Does nothing more once it is deleted."""
    claim = attempt.claim
    with worker.sessions.begin() as session:
        text = intake.text(session, claim.tenant_id, document.id)
    if text is None:
        return
    pieces = cut(worker, attempt, text)
    if not pieces:
        raise errors.UnreadableDocument("it holds no text")
    with worker.sessions.begin() as session:
        attempts.guard(session, claim.job_id, claim.attempt)
        start = intake.resume(session, claim.tenant_id, document.id, pieces)
    for first in range(start, len(pieces), CHUNKS_OF_A_LOT):
        lot = pieces[first : first + CHUNKS_OF_A_LOT]
        tokens = tokenized(worker, attempt, [piece.text for piece in lot])
        heard = _lot_of(tally, document.bytes, first, len(pieces))
        vectors = worker.batcher.embed(tokens, attempt.check, heard)
        if first == start:
            with worker.sessions.begin() as session:
                intake.fix_dimensions(session, claim.tenant_id, document.id, int(vectors.shape[1]))
        cost = sum(map(len, tokens))
        with worker.sessions.begin() as session:
            attempts.charge(session, claim.job_id, claim.attempt, cost)
            there = intake.store(
                session, claim.tenant_id, document.id, lot, vectors, first=first, last=first + len(lot) == len(pieces)
            )
        tally.charged += cost
        if not there:
            return


def _lot_of(tally: _Tally, size: int, first: int, count: int) -> Callable[[int], None]:
    """Tells of the chunks that are embedded of a lot, as that part of the document's bytes."""
    return lambda embedded: tally.tell(size * (first + embedded) / count)


def cut(worker: Worker, attempt: Attempt, text: str) -> list[Piece]:
    """The text's chunks, measured by the model's own tokens. Raises `UnreadableDocument`."""
    around = len(_lots(worker, attempt, [""])[0])  # what the model puts around every text

    def count(texts: Sequence[str]) -> list[int]:
        return [len(tokens) - around for tokens in _lots(worker, attempt, texts)]

    size = min(CHUNK_TOKENS, worker.loaded.context - around)
    try:
        return chunking.cut(text, count, size, min(OVERLAP_TOKENS, size // 4))
    except ValueError as error:
        raise errors.UnreadableDocument(f"it can't be cut into chunks: {error}") from error


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
