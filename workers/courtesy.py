"""Batch generations stand still while an interactive job waits for its first token.

Beside it they would have their tokens, and worse their prompts, evaluated in the very steps of the engine that it waits
for. They keep their slots, and go on from where they are.
"""

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from workers.attempt import Attempt


class Courtesy:
    """A worker's. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._awaited: dict[object, uuid.UUID] = {}  # by message, of which a job may have two
        self._batch: set[Attempt] = set()

    @contextmanager
    def awaiting(self, job_id: uuid.UUID) -> Iterator[None]:
        """While the job runs, or until it `has_begun_to_answer`, batch generations stand still for it.

        Not the job itself, where it is of the batch lane and was let ahead of interactive work.
        """
        message = object()
        with self._lock:
            self._awaited[message] = job_id
            for attempt in self._batch:
                self._pause(attempt)
        try:
            yield
        finally:
            self._await_no_more([message])

    @contextmanager
    def generating(self, attempt: Attempt) -> Iterator[None]:
        """Meanwhile the attempt puts something to the model, and stands still for others if it is of the batch lane."""
        if attempt.claim.lane != "batch":
            yield
            return
        with self._lock:
            self._batch.add(attempt)
            if self._awaited:
                self._pause(attempt)
        try:
            yield
        finally:
            with self._lock:
                self._batch.discard(attempt)
                attempt.resume()

    def has_begun_to_answer(self, job_id: uuid.UUID) -> None:
        """Nobody stands still for it any more. Idempotent."""
        self._await_no_more([message for message, other in self._awaited.copy().items() if other == job_id])

    def _await_no_more(self, messages: Sequence[object]) -> None:
        with self._lock:
            for message in messages:
                self._awaited.pop(message, None)
            if not self._awaited:
                for attempt in self._batch:
                    attempt.resume()

    def _pause(self, attempt: Attempt) -> None:
        if attempt.claim.job_id not in self._awaited.values():
            attempt.pause()
