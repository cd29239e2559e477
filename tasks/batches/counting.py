"""What is read of all lines of a batch, seldom enough, however often that is asked."""

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from db import batches as table

_REST = 20  # times as long as it took to read a batch's lines, they aren't read again
_MOST = 1000

Counted = Sequence[tuple[str, int, Mapping[str, int]]]


@dataclass(slots=True)
class _Kept:
    """What was counted last, if anything was, and until when it isn't done again. Who does it holds the lock."""

    counted: Counted | None = None
    until: float = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rests(self) -> bool:
        return time.monotonic() < self.until

    def do(self, work: Callable[[], None]) -> None:
        began_at = time.monotonic()
        work()
        now = time.monotonic()
        self.until = now + _REST * (now - began_at)


@dataclass(slots=True)
class Counting:
    """One a process, for all who look at batches: a twentieth of a connection's time at most is spent on each. So of
    a small batch the counts are new, of one of 50,000 lines they may be some seconds old. Thread-safe.
    """

    _kept: dict[uuid.UUID, _Kept] = field(default_factory=dict)
    _done: dict[uuid.UUID, _Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, session: Session, batch_id: uuid.UUID) -> Counted:
        """Of each status how many lines have it, and what these have spent. While one counts, others are told what was
        counted before; the first time they wait for it."""
        kept = self._of(self._kept, batch_id)
        before = kept.counted
        if before is not None and (kept.rests or not kept.lock.acquire(blocking=False)):
            return before
        if before is None:
            kept.lock.acquire()
        try:
            if kept.counted is None or not kept.rests:
                kept.do(lambda: self._count(kept, session, batch_id))
            return kept.counted or []
        finally:
            kept.lock.release()

    def seldom(self, batch_id: uuid.UUID, work: Callable[[], None]) -> None:
        """Does this, the only thing of its kind, for the batch, unless it is being done, or was so short ago."""
        done = self._of(self._done, batch_id)
        if done.rests or not done.lock.acquire(blocking=False):
            return
        try:
            done.do(work)
        finally:
            done.lock.release()

    def _count(self, kept: _Kept, session: Session, batch_id: uuid.UUID) -> None:
        kept.counted = table.counts(session, [batch_id]).get(batch_id, [])

    def _of(self, among: dict[uuid.UUID, _Kept], batch_id: uuid.UUID) -> _Kept:
        with self._lock:
            if len(among) >= _MOST and batch_id not in among:
                among.clear()
            return among.setdefault(batch_id, _Kept())
