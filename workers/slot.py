"""A job's slot, which it gives back between two of its parts when a tenant waits who has fewer."""

import time

from tasks import errors
from tasks.jobs.outcomes import Onward
from tasks.queues import places
from workers.attempt import Attempt
from workers.worker import Worker

_LOOK_S = 0.5


class Slot:
    """The slot of an attempt whose job is done in parts, each kept when it is done. Used by one thread."""

    def __init__(self, worker: Worker, attempt: Attempt) -> None:
        self._worker, self._attempt = worker, attempt
        self._looked_at = time.monotonic()

    def check(self) -> None:
        """Raises `Cancelled` when the attempt is to stop, `GaveWay` when the slot is wanted.

        To be asked between two parts, and while a part waits for its turn. It isn't wanted while the worker has another
        that is free; if it has none, the database is asked now and then.
        """
        self._attempt.check()
        now, claim = time.monotonic(), self._attempt.claim
        if now - self._looked_at < _LOOK_S or len(self._worker.held()) < self._worker.slots:
            return
        self._looked_at = now
        with self._worker.sessions.begin() as session:
            wanted = places.slot_is_wanted(session, self._worker.model, claim.lane, claim.tenant_id)
        if wanted:
            raise errors.GaveWay(f"a slot of {self._worker.model} is wanted")

    def back(self, handed: dict[str, float] | None = None) -> Onward:
        """The end of the attempt by which the job waits for its model again, with what it is handed then."""
        return Onward(self._attempt.claim.stage, self._worker.model, handed)
