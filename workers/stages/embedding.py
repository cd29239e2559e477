"""The stages that run on an embedding model: an embed job's texts, a question's passages, a document's chunks."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks import errors, ids
from tasks.documents import ingest, questions, ranking
from tasks.documents.chunking import Piece
from tasks.documents.ingest import Pending
from tasks.jobs import fence, stages
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.limits.spent import Spent
from workers.attempt import Attempt
from workers.batcher import Tokens
from workers.publisher import Pen
from workers.slot import Slot
from workers.stages import ingestion
from workers.stages.progress import Reporter
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

    def heard(done: int) -> None:
        reporter.report(done, count, spent[done])

    vectors = worker.batcher.embed(tokens, attempt.check, heard, attempt.claim.tenant_id)
    link = f"/v1/jobs/{ids.show(attempt.claim.job_id)}"
    result = {"count": count, "dimensions": vectors.shape[1], "link": link}
    return Outcome(Status.SUCCEEDED, Spent(spent[-1]), result, progress=(count, count), vectors=vectors)


def retrieve(worker: Worker, attempt: Attempt, pen: Pen) -> Onward:  # noqa: ARG001 it has nothing to tell yet
    """The passages for a question, handed to the model that answers. Raises `CollectionGone`."""
    claim = attempt.claim
    question, name = claim.input["question"], claim.input["collection"]
    tokens = tokenized(worker, attempt, [question])
    vector = worker.batcher.embed(tokens, attempt.check, tenant_id=claim.tenant_id)[0]
    top_k = claim.input.get("top_k", questions.TOP_K)
    try:
        with worker.sessions.begin() as session:
            found = ranking.search(session, claim.tenant_id, name, question, vector, model=worker.model, top_k=top_k)
    except errors.NotFound as error:
        raise errors.CollectionGone(str(error)) from error
    handed = {"passages": [passage.as_json() for passage in found]}
    return Onward(stages.GENERATE, claim.model, handed, spent=Spent(embedding=len(tokens[0])))


def embed_documents(worker: Worker, attempt: Attempt, pen: Pen) -> Outcome | Onward:
    """The documents of an ingest job, cut, embedded and stored one after the other; one that can't be fails alone.

    Chunks are stored lot by lot, so that another attempt goes on with the first lot that is missing. After each the
    job gives its slot back if it is wanted.
    """
    claim, slot = attempt.claim, Slot(worker, attempt)
    with worker.sessions.begin() as session:
        work = ingest.work(session, claim.tenant_id, claim.job_id)
    tally = _Tally(Reporter(attempt, pen, worker.id), work.done, work.total)
    tally.tell(0)
    try:
        for number, document in enumerate(work.waiting):
            (slot.check if number else attempt.check)()
            _embed_or_give_up(worker, attempt, slot, document, tally)
            tally.done += document.bytes
            tally.tell(0)
    except errors.GaveWay:
        return slot.back()
    return ingestion.outcome(worker, attempt, (work.total, work.total))


@dataclass(slots=True)
class _Tally:
    """How many of the job's bytes are done. What its tokens cost is in its row, not in its stream."""

    reporter: Reporter
    done: int
    total: int

    def tell(self, begun: float) -> None:
        """Reports that, and so many bytes of the document at hand."""
        self.reporter.report(self.done + int(begun), self.total)


def _embed_or_give_up(worker: Worker, attempt: Attempt, slot: Slot, document: Pending, tally: _Tally) -> None:
    try:
        _embed_document(worker, attempt, slot, document, tally)
    except errors.JobError as error:
        attempt.check()
        ingestion.give_up(worker, attempt, document.id, error)


def _embed_document(worker: Worker, attempt: Attempt, slot: Slot, document: Pending, tally: _Tally) -> None:
    """Stores the document's chunks, and makes it ready. Does nothing more once it is deleted.

    Cutting is a turn among the tenants' documents, and so is each lot.
    """
    claim = attempt.claim
    turn = (claim.tenant_id, claim.job_id, slot.check)
    with worker.turns.taken(*turn):
        pieces = _pieces(worker, attempt, slot, document)
    if pieces is None:
        return
    if not pieces:
        raise errors.UnreadableDocument("it holds no text")
    with worker.sessions.begin() as session:
        fence.guard(session, claim.job_id, claim.attempt)
        start = ingest.resume(session, claim.tenant_id, document.id, pieces)
    try:
        for first in range(start, len(pieces), CHUNKS_OF_A_LOT):
            if first > start:
                slot.check()
            with worker.turns.taken(*turn):
                if not _embed_lot(worker, attempt, document, pieces, first, tally, fix=first == start):
                    return
    except errors.GaveWay:
        worker.cutter.keep(document.id, pieces)
        raise


def _pieces(worker: Worker, attempt: Attempt, slot: Slot, document: Pending) -> list[Piece] | None:
    """The document's chunks, as they were kept or are cut now; None when it is deleted."""
    if kept := worker.cutter.taken(document.id):
        return kept
    with worker.sessions.begin() as session:
        text = ingest.text(session, attempt.claim.tenant_id, document.id)
    return cut(worker, attempt, text, slot.check) if text is not None else None


def _embed_lot(
    worker: Worker,
    attempt: Attempt,
    document: Pending,
    pieces: Sequence[Piece],
    first: int,
    tally: _Tally,
    *,
    fix: bool,
) -> bool:
    """Stores the chunks of a lot; False when the document is deleted. `fix` fixes the collection's dimensions first."""
    claim, lot = attempt.claim, pieces[first : first + CHUNKS_OF_A_LOT]
    tokens = tokenized(worker, attempt, [piece.text for piece in lot])
    heard = _lot_of(tally, document.bytes, first, len(pieces))
    vectors = worker.batcher.embed(tokens, attempt.check, heard, claim.tenant_id)
    if fix:
        with worker.sessions.begin() as session:
            ingest.fix_dimensions(session, claim.tenant_id, document.id, int(vectors.shape[1]))
    with worker.sessions.begin() as session:
        fence.charge(session, claim.job_id, claim.attempt, Spent(sum(map(len, tokens))))
        last = first + len(lot) == len(pieces)
        return ingest.store(session, claim.tenant_id, document.id, lot, vectors, first=first, last=last)


def _lot_of(tally: _Tally, size: int, first: int, count: int) -> Callable[[int], None]:
    """Tells of the chunks that are embedded of a lot, as that part of the document's bytes."""
    return lambda embedded: tally.tell(size * (first + embedded) / count)


def cut(worker: Worker, attempt: Attempt, text: str, check: Callable[[], None]) -> list[Piece]:
    """The text's chunks, measured by the model's own tokens. Raises what `Cutter.cut` does."""
    around = len(_lots(worker, attempt, [""])[0])  # what the model puts around every text

    def count(texts: Sequence[str]) -> list[int]:
        return [len(tokens) - around for tokens in _lots(worker, attempt, texts)]

    size = min(CHUNK_TOKENS, worker.loaded.context - around)
    return worker.cutter.cut(attempt, text, count, size, min(OVERLAP_TOKENS, size // 4), check)


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
