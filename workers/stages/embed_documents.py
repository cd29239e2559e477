"""The last stage of an ingest job: its documents cut into chunks, embedded and stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks import errors
from tasks.documents import ingest
from tasks.documents.chunking import Piece
from tasks.documents.ingest import Pending, Source
from tasks.jobs import fence
from tasks.jobs.outcomes import Onward, Outcome
from tasks.limits.spent import Spent
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import ingesting, tokens
from workers.stages.progress import Reporter

# Stored in one transaction, of well under a second: others wait for it who delete the document, or end the job.
CHUNKS_OF_A_LOT = 128


def embed_documents(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome | Onward:
    """The documents of an ingest job, cut, embedded and stored one after the other; one that can't be fails alone.

    Chunks are stored lot by lot, so that another attempt goes on with the first lot that is missing. After each the
    job gives its slot back if it is wanted.
    """
    claim = attempt.claim
    with slot.sessions.begin() as session:
        work = ingest.work(session, claim.tenant_id, claim.job_id)
    tally = _Tally(Reporter(attempt, publisher, slot.worker_id), work.done, work.total)
    tally.tell(0)
    try:
        for number, document in enumerate(work.waiting):
            slot.check(attempt) if number else attempt.check()
            _embed_or_give_up(slot, attempt, document, tally)
            tally.done += document.bytes
            tally.tell(0)
    except errors.GaveWay:
        return slot.back(attempt)
    return ingesting.outcome(slot, attempt, (work.total, work.total))


@dataclass(slots=True)
class _Tally:
    """How many of the job's bytes are done. What their tokens cost is in its row, not in its stream."""

    reporter: Reporter
    done: int
    total: int

    def tell(self, begun: float) -> None:
        """Reports that, and so many bytes of the document at hand."""
        self.reporter.report(self.done + int(begun), self.total)


def _embed_or_give_up(slot: Slot, attempt: Attempt, document: Pending, tally: _Tally) -> None:
    try:
        _embed_document(slot, attempt, document, tally)
    except errors.JobError as error:
        attempt.check()
        ingesting.give_up(slot, attempt, document.id, error)


def _embed_document(slot: Slot, attempt: Attempt, document: Pending, tally: _Tally) -> None:
    """Stores the document's chunks, and makes it ready. Does nothing more once it is deleted.

    Cutting is a turn among the tenants' documents, and so is each lot.
    """
    claim = attempt.claim
    turn = (claim.tenant_id, claim.job_id, lambda: slot.check(attempt))
    with slot.turns.taken(*turn):
        pieces = _pieces(slot, attempt, document)
    if pieces is None:
        return
    if not pieces:
        raise errors.UnreadableDocument("it holds no text")
    with slot.sessions.begin() as session:
        fence.guard(session, claim.job_id, claim.attempt)
        start = ingest.resume(session, claim.tenant_id, document.id, pieces)
    try:
        for first in range(start, len(pieces), CHUNKS_OF_A_LOT):
            if first > start:
                slot.check(attempt)
            with slot.turns.taken(*turn):
                if not _embed_lot(slot, attempt, document, pieces, first, tally, fix=first == start):
                    return
    except errors.GaveWay:
        slot.cutter.keep(document.id, pieces)
        raise


def _pieces(slot: Slot, attempt: Attempt, document: Pending) -> list[Piece] | None:
    """The document's chunks, as they were kept or are cut now; None when it is deleted."""
    if kept := slot.cutter.taken(document.id):
        return kept
    with slot.sessions.begin() as session:
        source = ingest.source(session, attempt.claim.tenant_id, document.id)
    return cut(slot, attempt, source) if source is not None else None


def _embed_lot(
    slot: Slot,
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
    texts = tokens.fitting(slot.batcher, attempt, [piece.embedded for piece in lot], "passage")
    heard = _lot_of(tally, document.bytes, first, len(pieces))
    vectors = slot.batcher.embed(texts, attempt.check, heard, claim.tenant_id)
    if fix:
        with slot.sessions.begin() as session:
            ingest.fix_dimensions(session, claim.tenant_id, document.id, int(vectors.shape[1]))
    with slot.sessions.begin() as session:
        fence.charge(session, claim.job_id, claim.attempt, Spent(sum(map(len, texts))))
        last = first + len(lot) == len(pieces)
        return ingest.store(session, claim.tenant_id, document.id, lot, vectors, first=first, last=last)


def _lot_of(tally: _Tally, size: int, first: int, count: int) -> Callable[[int], None]:
    """A progress callback for one lot: turns the chunks embedded so far into bytes of the document."""
    return lambda embedded: tally.tell(size * (first + embedded) / count)


def cut(slot: Slot, attempt: Attempt, source: Source) -> list[Piece]:
    """The text's chunks, measured by the model's own tokens. Raises what `Cutter.cut` does."""
    around = len(tokens.of(slot.batcher, attempt, [""])[0])  # what the model puts around every text
    prefix = len(tokens.of(slot.batcher, attempt, [""], "passage")[0]) - around

    def count(texts: Sequence[str]) -> list[int]:
        return [len(text) - around for text in tokens.of(slot.batcher, attempt, texts)]

    size = min(source.tokens, slot.batcher.context - around) - prefix
    overlap, check = min(source.overlap, size // 2), lambda: slot.check(attempt)
    return slot.cutter.cut(attempt, source.text, count, size, overlap, check, source.about)
