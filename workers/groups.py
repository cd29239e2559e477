"""Lines of a batch that begin alike run one after another in one slot, which has their beginning evaluated (ADR 30)."""

import threading
import uuid
from collections.abc import Sequence

from db.session import Sessions
from tasks import ids
from tasks.batches import exchange
from tasks.models.engine import KeepsPrompts


class Groups:
    """Which groups of lines a worker's slots have the beginnings of. Thread-safe."""

    def __init__(self, sessions: Sessions, engine: KeepsPrompts) -> None:
        self._sessions, self._engine = sessions, engine
        self._choosing, self._lock = threading.Lock(), threading.Lock()
        self._entered: list[uuid.UUID] = []

    def enter(self, job_id: uuid.UUID, *, itself: bool = False) -> uuid.UUID:
        """Which job is to run in the turn that this one has: unless it is to be `itself`, a line of its batch that
        begins as what a free slot has evaluated, where there is one. To be followed by `leave`.

        Raises SQLAlchemy's errors.
        """
        if itself:  # what isn't of a batch waits for no choice
            return self._enter(job_id)
        with self._choosing:
            return self._enter(self._chosen(job_id))

    def leave(self, job_id: uuid.UUID) -> None:
        """The job that `enter` returned runs no more."""
        with self._lock:
            self._entered.remove(job_id)

    def _enter(self, job_id: uuid.UUID) -> uuid.UUID:
        with self._lock:
            self._entered.append(job_id)
        return job_id

    def _chosen(self, job_id: uuid.UUID) -> uuid.UUID:
        """PostgreSQL is asked only for a line of whose batch another group is known here: for no plain job."""
        batch = ids.batch_of(job_id)
        with self._lock:
            entered = list(self._entered)
        kept = [group for group in self._kept(entered) if group.startswith(batch)]
        begun = {ids.group_of(each) for each in entered if ids.batch_of(each) == batch}
        if ids.group_of(job_id) in kept or not (kept or begun):
            return job_id
        with self._sessions.begin() as session:
            return exchange.exchange(session, job_id, kept, begun)

    def _kept(self, entered: Sequence[uuid.UUID]) -> list[bytes]:
        """The groups that the free slots have, that of the slot freed last first: without the slots that jobs will take
        which haven't come as far. One whose group no slot has takes the slot that has been free for longest.
        """
        found = self._engine.kept()
        free = [ids.group_of(job_id) for job_id, is_free in found if is_free]
        come = {job_id for job_id, _ in found}
        for group in (ids.group_of(job_id) for job_id in entered if job_id not in come):
            if group in free:
                free.remove(group)
            elif free:
                free.pop()
        return free
