"""The stage that changes a collection's embedding model: all its chunks embedded anew, then it switches."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks import errors, ids
from tasks.documents import reading, reembedding
from tasks.documents.reembedding import State, Waiting
from tasks.jobs import fence
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.kinds import KINDS
from tasks.kinds.reembed import Reembedding
from tasks.limits.spent import Spent
from workers.attempt import Attempt
from workers.batcher import Tokens
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import tokens
from workers.stages.progress import Reporter

# Stored in one transaction, as an ingest's: who deletes one of the documents waits for it.
CHUNKS_OF_A_LOT = 128
LOOK_S = 1.0
_INDEX_S = 1800.0
WAITS_UNTIL = "waits_until"  # what an attempt that gives its slot back hands the next


def reembed(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome | Onward:
    """Every chunk's new vector, lot by lot, kept and charged as it is made; then the switch; then the old ones go.

    After each lot the job gives its slot back if it is wanted. Chunks that are stored meanwhile are found before the
    switch. Raises `CollectionGone`, and `ContextLengthExceeded` naming the chunk: then the collection stays as it was.
    """
    asked: Reembedding = KINDS[attempt.claim.type].parse(attempt.claim.asked)
    assert asked.collection_id is not None
    work = _Work(slot, attempt, asked.collection_id, Reporter(attempt, publisher, slot.worker_id))
    work.waits_until = (attempt.claim.stage_input or {}).get(WAITS_UNTIL)
    try:
        state = work.state()
        if not state.switched:
            work.fill(state)
            state = work.state()
        work.clear()
    except errors.GaveWay:
        return slot.back(attempt, {WAITS_UNTIL: work.waits_until})
    result = {
        "collection": state.name,
        "model": slot.queue,
        "dimensions": state.dimensions,
        "chunks": state.total,
    }
    return Outcome(Status.SUCCEEDED, result=result, progress=(state.total, state.total))


@dataclass(slots=True)
class _Work:
    """One attempt's part of it. `reached` is the document that the last lot ended in; `waits_until`, in Unix time, how
    long the job waits for the index of the new vectors, over all its attempts."""

    slot: Slot
    attempt: Attempt
    collection_id: uuid.UUID
    reporter: Reporter
    reached: uuid.UUID | None = None
    waits_until: float | None = None

    @property
    def _where(self) -> tuple[uuid.UUID, uuid.UUID]:
        return self.attempt.claim.tenant_id, self.collection_id

    def state(self) -> State:
        with self.slot.sessions.begin() as session:
            return reembedding.state(session, *self._where, self.slot.queue)

    def fill(self, state: State) -> None:
        """Gives every chunk its new vector, and switches."""
        done = state.done
        while True:
            lot = self._lot()
            if not lot and self._indexed() and self._switched():
                return
            if lot:
                with self.slot.turns.taken(*self._turn):
                    done += len(lot) if self._embed(lot) else 0
                self.reporter.report(min(done, state.total), state.total)
            self.slot.check(self.attempt)

    def clear(self) -> None:
        """Drops the vectors that the collection had before."""
        while True:
            self.attempt.check()
            with self.slot.sessions.begin() as session:
                fence.guard(session, self.attempt.claim.job_id, self.attempt.claim.attempt)
                if not reembedding.clear(session, *self._where, most=CHUNKS_OF_A_LOT):
                    return
            self.slot.check(self.attempt)

    @property
    def _turn(self) -> tuple[Any, ...]:
        claim = self.attempt.claim
        return claim.tenant_id, claim.job_id, lambda: self.slot.check(self.attempt)

    def _lot(self) -> list[Waiting]:
        """The next chunks; when there are none behind the last lot, those of documents before it."""
        with self.slot.sessions.begin() as session:
            lot = reembedding.lot(session, *self._where, after=self.reached, most=CHUNKS_OF_A_LOT)
        if not lot and self.reached is not None:
            self.reached = None
            return self._lot()
        return lot

    def _embed(self, lot: Sequence[Waiting]) -> bool:
        """Keeps the lot's vectors and charges them; False when one of its chunks has changed or is gone."""
        claim = self.attempt.claim
        texts = self._read(lot)
        seen, unread = self._unread(lot, texts)
        vectors = self.slot.batcher.embed(texts, self.attempt.check, tenant_id=claim.tenant_id)
        try:
            with self.slot.sessions.begin() as session:
                fence.charge(session, claim.job_id, claim.attempt, Spent(sum(map(len, texts))))
                if not reembedding.store(session, *self._where, lot, vectors, seen, unread):
                    raise _ChangedError
        except _ChangedError:
            return False
        self.reached = lot[-1].document_id
        return True

    def _read(self, lot: Sequence[Waiting]) -> list[Tokens]:
        """The chunks as the model reads them. Raises `ContextLengthExceeded` for one that it can't read whole."""
        read = tokens.of(self.slot.batcher, self.attempt, [reembedding.embedded(one) for one in lot], "passage")
        for one, text in zip(lot, read, strict=True):
            if len(text) > self.slot.batcher.context:
                which = f"chunk {one.number} of {ids.show(one.document_id, ids.DOCUMENT)}"
                told = f"{which} has {len(text)} tokens; {self.slot.queue} takes {self.slot.batcher.context}"
                raise errors.ContextLengthExceeded(told)
        return read

    def _unread(self, lot: Sequence[Waiting], read: Sequence[Tokens]) -> tuple[int, float]:
        """How many tokens there are, and how many of them the model can't read; no tokens where it doesn't tell."""
        unknown, size = self.slot.batcher.unknown, sum(map(len, read))
        if unknown is None:
            return 0, 0.0
        return size, size * reading.unread([one.text for one in lot], read, unknown, 0)

    def _indexed(self) -> bool:
        """Whether searches by the new vectors will be fast; True also after a time, for they will be right anyway."""
        self.waits_until = self.waits_until or time.time() + _INDEX_S
        with self.slot.sessions.begin() as session:
            made = reembedding.is_indexed(session, *self._where)
        if made or time.time() > self.waits_until:
            return True
        time.sleep(LOOK_S)
        return False

    def _switched(self) -> bool:
        claim = self.attempt.claim
        with self.slot.sessions.begin() as session:
            fence.guard(session, claim.job_id, claim.attempt)
            return reembedding.switch(session, *self._where)


class _ChangedError(Exception):
    """A chunk of the lot isn't there any more as it was read."""
