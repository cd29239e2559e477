"""Batch work gives its slots to interactive jobs that wait for one, between two tokens.

Where no interactive job came for a while, batch jobs run in every slot (`window.Occupancy`). The first one that comes
then finds none free. A batch generation that hasn't got far is stopped for it: its job goes back into its queue with
what was streamed, and goes on from there when its turn comes again.
"""

import time
import uuid
from collections.abc import Collection
from typing import Any

import structlog

from tasks import ids
from tasks.queues import broker, window
from workers.attempt import Attempt, Stop
from workers.worker import Worker

log = structlog.get_logger(__name__)

LOOK_S = 0.025
_ASKED = f"{broker.KEY_PREFIX}yielded_for."
_IDLE_S = 1.0
_PROMOTED_S = 1.0  # for so long an answer about promotions is believed
_MOST_YIELDS = 3  # who was stopped so often runs to its end: each time its prompt is evaluated again
_ASKED_MS = 2000  # within that a line that was stopped has given its slot up: else another one is asked to
_REMEMBERED_S = 24 * 3600  # how often a job yielded: where that is forgotten, it yields some times more


class Yielding:
    """What a worker's thread does for it. It sleeps while no batch job runs."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._queues = worker.sweeper.queues
        self._asked_at, self._promoted = float("-inf"), False

    def run(self) -> None:
        """Looks again and again, until the worker is gone. Raises what `look` raises."""
        pubsub: Any = self._queues.pubsub
        while not self._worker.gone.is_set():
            if self._worker.batch_runs.wait(_IDLE_S):
                with pubsub(ignore_subscribe_messages=True) as announced:
                    announced.subscribe(broker.coming(self._worker.queue))
                    self._tend(announced)

    def _tend(self, announced: Any) -> None:
        """Looks, and has batch work stand still for interactive jobs that are announced, until none of it runs."""
        while self._worker.batch_runs.wait(_IDLE_S) and not self._worker.gone.is_set():
            self.look()
            if announced.get_message(timeout=LOOK_S):
                self._worker.courtesy.expect()
            self._worker.courtesy.give_up()

    def look(self) -> list[Attempt]:
        """Stops as many batch generations as interactive jobs wait for a slot, for whom no other worker's was stopped.

        Which ones it stopped. Raises redis-py's and SQLAlchemy's errors.
        """
        self._worker.batch_runs.clear()
        held = self._worker.held()
        batch = [attempt for attempt in held if attempt.claim.lane == "batch"]
        if not batch:
            return []
        self._worker.batch_runs.set()
        may = [attempt for attempt in batch if attempt.stopped is None]
        if len(held) < self._worker.slots or not may or self._worker.draining.is_set():
            return []
        waiting = broker.waiting(self._queues, broker.lane(self._worker.queue, "interactive"))
        if not waiting or self._starved():
            return []
        willing = sorted(filter(self._may_yield, may), key=lambda attempt: len(attempt.transcript.entries))
        chosen = willing[: self._taken(waiting, len(willing))]
        for attempt in chosen:
            log.info("yields", job_id=ids.show(attempt.claim.job_id), attempt=attempt.claim.attempt)
            self._note(attempt)
            attempt.stop(Stop.YIELD)
        return chosen

    def _taken(self, waiting: Collection[uuid.UUID], most: int) -> int:
        """For how many of the waiting jobs this worker is the one that gives a slot, and nobody did just before."""
        taken = 0
        for job_id in waiting:
            if taken < most:
                taken += bool(self._queues.set(f"{_ASKED}{job_id.hex}", self._worker.id, nx=True, px=_ASKED_MS))
        return taken

    def _may_yield(self, attempt: Attempt) -> bool:
        return int(self._queues.get(_yields(attempt)) or 0) < _MOST_YIELDS

    def _note(self, attempt: Attempt) -> None:
        self._queues.incr(_yields(attempt))
        self._queues.expire(_yields(attempt), _REMEMBERED_S)

    def _starved(self) -> bool:
        """Whether a batch job was promoted lately: it is what runs, and interactive work never ends."""
        now = time.monotonic()
        if now - self._asked_at >= _PROMOTED_S:
            with self._worker.upkeep.begin() as session:
                self._promoted = window.promoted_lately(session, self._worker.queue)
            self._asked_at = now
        return self._promoted


def _yields(attempt: Attempt) -> str:
    return f"{broker.KEY_PREFIX}yields.{attempt.claim.job_id.hex}"
