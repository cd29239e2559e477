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


@dataclass(frozen=True, slots=True)
class _Kept:
    counted: Counted
    until: float


@dataclass(slots=True)
class Counting:
    """One a process, for all who look at batches: a twentieth of a connection's time at most is spent on each. So of
    a small batch the counts are new, of one of 50,000 lines they may be some seconds old. Thread-safe.
    """

    _kept: dict[uuid.UUID, _Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, session: Session, batch_id: uuid.UUID) -> Counted:
        """Of each status how many lines have it, and what these have spent."""
        with self._lock:
            kept = self._kept.get(batch_id)
            if kept is not None:
                if time.monotonic() < kept.until:
                    return kept.counted
                self._kept[batch_id] = _Kept(kept.counted, kept.until + 1)  # others needn't count beside this one
        began_at = time.monotonic()
        counted = table.counts(session, [batch_id]).get(batch_id, [])
        took_s = time.monotonic() - began_at
        with self._lock:
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept[batch_id] = _Kept(counted, time.monotonic() + _REST * took_s)
        return counted
