"""How many lines of a batch there are in each status, counted seldom enough, however often that is asked."""

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from db import batches as table

_REST = 20  # times as long as it took to count a batch's lines, they aren't counted again
_MOST = 1000

Counted = Sequence[tuple[str, int, Mapping[str, int]]]


@dataclass(slots=True)
class _Kept:
    """What was counted last, if anything was, and until when that is told. Who counts holds the lock."""

    counted: Counted | None = None
    until: float = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rests(self) -> bool:
        return time.monotonic() < self.until


@dataclass(slots=True)
class Counting:
    """One a process, for all who look at batches: a twentieth of a connection's time at most is spent on each. So of
    a small batch the counts are new, of one of 50,000 lines they may be some seconds old. Thread-safe.
    """

    _kept: dict[uuid.UUID, _Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, session: Session, batch_id: uuid.UUID) -> Counted:
        """Of each status how many lines have it, and what these have spent. While one counts, others are told what was
        counted before; the first time they wait for it."""
        kept = self._of(batch_id)
        before = kept.counted
        if before is not None and (kept.rests or not kept.lock.acquire(blocking=False)):
            return before
        if before is None:
            kept.lock.acquire()
        try:
            if kept.counted is None or not kept.rests:
                began_at = time.monotonic()
                kept.counted = table.counts(session, [batch_id]).get(batch_id, [])
                now = time.monotonic()
                kept.until = now + _REST * (now - began_at)
            return kept.counted
        finally:
            kept.lock.release()

    def _of(self, batch_id: uuid.UUID) -> _Kept:
        with self._lock:
            if len(self._kept) >= _MOST and batch_id not in self._kept:
                self._kept.clear()
            return self._kept.setdefault(batch_id, _Kept())
