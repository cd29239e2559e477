"""The last stage of an ingest job: its documents cut into chunks, embedded and stored."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tasks import errors
from tasks.documents import ingest, reading
from tasks.documents.chunking import Piece
from tasks.documents.ingest import Pending, Source
from tasks.documents.marks import Marks
from tasks.jobs import fence
from tasks.jobs.outcomes import Onward, Outcome
from tasks.limits.spent import Spent
from workers.attempt import Attempt
from workers.batcher import Tokens
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import ingesting, tokens
from workers.stages.progress import Reporter

# Stored in one transaction, of well under a second: others wait for it who delete the document, or end the job.
CHUNKS_OF_A_LOT = 128


def embed_documents(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome | Onward:
    """The documents of an ingest job, cut, embedded and stored one after the other; one that can't be fails alone.

    Chunks are stored lot by lot, so that another attempt goes on with the first lot that is missing. After each the
    job gives its slot back if it is wanted. Where the collection has got another model, the job goes on there.
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
    except errors.CollectionSwitched as switched:
        return Onward(claim.stage, switched.model)
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
    except errors.CollectionSwitched:
        raise
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
        alike = ingest.alike(session, claim.tenant_id, document.id)
    if not start:
        _note_unread(slot, attempt, document, pieces)
    try:
        for first in range(start, len(pieces), CHUNKS_OF_A_LOT):
            if first > start:
                slot.check(attempt)
            with slot.turns.taken(*turn):
                if not _embed_lot(slot, attempt, document, pieces, first, alike, tally, fix=first == start):
                    return
    except errors.GaveWay:
        slot.cutter.keep(document.id, pieces)
        raise


def _note_unread(slot: Slot, attempt: Attempt, document: Pending, pieces: Sequence[Piece]) -> None:
    """Writes down how much of the document the model can't read, where that can be told."""
    share = tokens.unread(slot.batcher, attempt, [piece.text for piece in pieces])
    if share is not None:
        with slot.sessions.begin() as session:
            fence.guard(session, attempt.claim.job_id, attempt.claim.attempt)
            reading.note(session, attempt.claim.tenant_id, document.id, share, slot.queue)


def _pieces(slot: Slot, attempt: Attempt, document: Pending) -> list[Piece] | None:
    """The document's chunks, as they were kept or are cut now; None when it is deleted."""
    if kept := slot.cutter.taken(document.id):
        return kept
    with slot.sessions.begin() as session:
        source = ingest.source(session, attempt.claim.tenant_id, document.id)
    if source is None:
        return None

    def learn(marks: Marks) -> None:
        with slot.sessions.begin() as session:
            fence.guard(session, attempt.claim.job_id, attempt.claim.attempt)
            ingest.marked(session, attempt.claim.tenant_id, document.id, marks)

    return cut(slot, attempt, source, learn)


def _embed_lot(
    slot: Slot,
    attempt: Attempt,
    document: Pending,
    pieces: Sequence[Piece],
    first: int,
    alike: Sequence[uuid.UUID],
    tally: _Tally,
    *,
    fix: bool,
) -> bool:
    """Stores the chunks of a lot; False when the document is deleted. `fix` fixes the collection's dimensions first.

    What is a chunk of a document in `alike` has its vector already, and costs nothing.
    """
    claim, lot = attempt.claim, pieces[first : first + CHUNKS_OF_A_LOT]
    with slot.sessions.begin() as session:
        whose = (claim.tenant_id, document.id)
        vectors = ingest.vectors(session, *whose, alike, lot, model=slot.queue) if alike else {}
    new = list({piece.digest: piece for piece in lot if piece.digest not in vectors}.values())
    texts = _read(slot, attempt, new)
    if new:
        heard = _lot_of(tally, document.bytes, first, len(pieces))
        made = slot.batcher.embed(texts, attempt.check, heard, claim.tenant_id)
        vectors |= dict(zip((piece.digest for piece in new), made, strict=True))
    embedded = np.stack([vectors[piece.digest] for piece in lot])
    if fix:
        with slot.sessions.begin() as session:
            ingest.fix_dimensions(session, claim.tenant_id, document.id, int(embedded.shape[1]), model=slot.queue)
    with slot.sessions.begin() as session:
        fence.charge(session, claim.job_id, claim.attempt, Spent(sum(map(len, texts))))
        last = first + len(lot) == len(pieces)
        stored = (claim.tenant_id, document.id, lot, embedded)
        return ingest.store(session, *stored, model=slot.queue, first=first, last=last)


def _read(slot: Slot, attempt: Attempt, pieces: Sequence[Piece]) -> list[Tokens]:
    """The chunks as the model reads them. Raises what `tokens.fitting` does."""
    return tokens.fitting(slot.batcher, attempt, [piece.embedded for piece in pieces], "passage")


def _lot_of(tally: _Tally, size: int, first: int, count: int) -> Callable[[int], None]:
    """A progress callback for one lot: turns the chunks embedded so far into bytes of the document."""
    return lambda embedded: tally.tell(size * (first + embedded) / count)


def cut(slot: Slot, attempt: Attempt, source: Source, learn: Callable[[Marks], None]) -> list[Piece]:
    """The text's chunks, measured by the model's own tokens. Takes and raises what `Cutter.cut` does."""
    around = len(tokens.of(slot.batcher, attempt, [""])[0])  # what the model puts around every text
    prefix = len(tokens.of(slot.batcher, attempt, [""], "passage")[0]) - around

    def count(texts: Sequence[str]) -> list[int]:
        return [len(text) - around for text in tokens.of(slot.batcher, attempt, texts)]

    size = min(source.tokens, slot.batcher.context - around) - prefix
    overlap, check = min(source.overlap, size // 2), lambda: slot.check(attempt)
    return slot.cutter.cut(attempt, source.text, count, size, overlap, check, source.about, learn)
