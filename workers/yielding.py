"""Batch work gives its slots to interactive jobs that wait for one, between two tokens.

Where no interactive job came for a while, batch jobs run in every slot (`window.Occupancy`). The first one that comes
then finds none free. A batch generation that hasn't got far is stopped for it: its job goes back into its queue with
what was streamed, and goes on from there when its turn comes again.
"""

import time

import structlog

from tasks import ids
from tasks.queues import broker, window
from workers.attempt import Attempt, Stop
from workers.worker import Worker

log = structlog.get_logger(__name__)

LOOK_S = 0.025
_IDLE_S = 1.0
_PROMOTED_S = 1.0  # for so long an answer about promotions is believed
_MOST_ATTEMPTS = 3  # who was stopped so often runs to its end: each time its prompt is evaluated again


class Yielding:
    """What a worker's thread does for it. It sleeps while no batch job runs."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._waiting = broker.KEY_PREFIX + broker.lane(worker.queue, "interactive")
        self._asked_at, self._promoted = float("-inf"), False

    def run(self) -> None:
        """Looks again and again, until the worker is gone. Raises what `look` raises."""
        while not self._worker.gone.is_set():
            if self._worker.batch_runs.wait(_IDLE_S):
                self.look()
                self._worker.gone.wait(LOOK_S)

    def look(self) -> list[Attempt]:
        """Stops as many batch generations as interactive jobs wait for a slot of this worker's; which ones.

        Raises redis-py's and SQLAlchemy's errors.
        """
        self._worker.batch_runs.clear()
        held = self._worker.held()
        batch = [attempt for attempt in held if attempt.claim.lane == "batch"]
        if not batch:
            return []
        self._worker.batch_runs.set()
        may = [attempt for attempt in batch if _may_yield(attempt)]
        if len(held) < self._worker.slots or not may or self._worker.draining.is_set():
            return []
        wanted = int(self._worker.sweeper.queues.llen(self._waiting))
        missing = wanted - sum(attempt.stopped is Stop.YIELD for attempt in batch)
        if missing <= 0 or self._starved():
            return []
        chosen = sorted(may, key=lambda attempt: len(attempt.transcript.entries))[:missing]
        for attempt in chosen:
            log.info("yields", job_id=ids.show(attempt.claim.job_id), attempt=attempt.claim.attempt)
            attempt.stop(Stop.YIELD)
        return chosen

    def _starved(self) -> bool:
        """Whether a batch job was promoted lately: it is what runs, and interactive work never ends."""
        now = time.monotonic()
        if now - self._asked_at >= _PROMOTED_S:
            with self._worker.upkeep.begin() as session:
                self._promoted = window.promoted_lately(session, self._worker.queue)
            self._asked_at = now
        return self._promoted


def _may_yield(attempt: Attempt) -> bool:
    return attempt.claim.attempt <= _MOST_ATTEMPTS and attempt.stopped is None
