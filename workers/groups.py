"""Lines of a batch that begin alike run one after another in one slot, which has their beginning evaluated (ADR 30)."""

import threading
import uuid
from collections import deque

from db.session import Sessions
from tasks import ids
from tasks.batches import exchange


class Groups:
    """Which groups of lines run in a worker's slots, and which ran last in those that are free. Thread-safe.

    An engine gives a prompt the slot that has its beginning, and one that has nothing of it the slot that has been free
    for longest: so what is remembered here is what its slots have, but for what jobs of other tenants cost. Where it
    isn't, a beginning is evaluated again.
    """

    def __init__(self, sessions: Sessions, slots: int) -> None:
        self._sessions, self._lock = sessions, threading.Lock()
        self._run: list[bytes] = []
        self._kept: deque[bytes] = deque(maxlen=slots)  # the one that ended last is the last

    def enter(self, job_id: uuid.UUID, *, itself: bool = False) -> uuid.UUID:
        """Which job is to run in the turn that this one has: unless it is to be `itself`, a line of its batch that
        begins as what a free slot has evaluated, where there is one. To be followed by `leave`.

        Raises SQLAlchemy's errors.
        """
        with self._lock:
            chosen = job_id if itself else self._chosen(job_id)
            group = ids.group_of(chosen)
            if group in self._kept:
                self._kept.remove(group)
            elif len(self._kept) + len(self._run) >= (self._kept.maxlen or 0) and self._kept:
                self._kept.popleft()
            self._run.append(group)
            return chosen

    def leave(self, job_id: uuid.UUID) -> None:
        """The job that `enter` returned runs no more."""
        with self._lock:
            group = ids.group_of(job_id)
            self._run.remove(group)
            self._kept.append(group)

    def _chosen(self, job_id: uuid.UUID) -> uuid.UUID:
        """PostgreSQL is asked only for a line of whose batch another group is known here: for no plain job."""
        batch, group = ids.batch_of(job_id), ids.group_of(job_id)
        kept = [each for each in reversed(self._kept) if each.startswith(batch)]
        run = {each for each in self._run if each.startswith(batch)}
        if group in kept or not (kept or run):
            return job_id
        with self._sessions.begin() as session:
            return exchange.exchange(session, job_id, kept, run)
