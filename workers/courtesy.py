"""Batch generations stand still while an interactive job waits for its first token.

Beside it they would have their tokens, and worse their prompts, evaluated in the very steps of the engine that it waits
for. They keep their slots, and go on from where they are. They stand still from the moment that the API announces the
job: while it is written down and its message comes, they would take the processor from that.
"""

import collections
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from workers.attempt import Attempt

_COMING_S = 0.05  # a job that was announced comes within that, unless it was refused, or comes to another worker
_ASIDE_S = 0.1


class Courtesy:
    """A worker's. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nobody = threading.Event()  # waits, or is expected
        self._nobody.set()
        self._expected: collections.deque[float] = collections.deque()  # each until when
        self._awaited: dict[object, uuid.UUID] = {}  # by message, of which a job may have two
        self._batch: set[Attempt] = set()

    def expect(self) -> None:
        """An interactive job was announced: batch generations stand still until its message comes, or doesn't."""
        with self._lock:
            self._expected.append(time.monotonic() + _COMING_S)
            self._have_stand_still()

    def give_up(self) -> None:
        """Nobody stands still any more for jobs that haven't come in time. To be called now and then."""
        with self._lock:
            while self._expected and self._expected[0] <= time.monotonic():
                self._expected.popleft()
            self._go_on_for_nobody()

    @contextmanager
    def awaiting(self, job_id: uuid.UUID) -> Iterator[None]:
        """While the job runs, or until it `has_begun_to_answer`, batch generations stand still for it.

        Not the job itself, where it is of the batch lane and was let ahead of interactive work.
        """
        message = object()
        with self._lock:
            self._awaited[message] = job_id
            if self._expected:
                self._expected.popleft()
            self._have_stand_still()
        try:
            yield
        finally:
            self._await_no_more([message])

    @contextmanager
    def generating(self, attempt: Attempt) -> Iterator[None]:
        """Meanwhile the attempt puts something to the model, and stands still for others if it is of the batch lane.

        Then it waits for a moment before its end is written while others still stand still: that takes the interpreter
        and PostgreSQL, which the interactive job needs.
        """
        if attempt.claim.lane != "batch":
            yield
            return
        with self._lock:
            self._batch.add(attempt)
            if not self._nobody.is_set():
                self._pause(attempt)
        try:
            yield
        finally:
            with self._lock:
                self._batch.discard(attempt)
                attempt.resume()
        self._nobody.wait(_ASIDE_S)

    def has_begun_to_answer(self, job_id: uuid.UUID) -> None:
        """Nobody stands still for it any more. Idempotent."""
        self._await_no_more([message for message, other in self._awaited.copy().items() if other == job_id])

    def _await_no_more(self, messages: Sequence[object]) -> None:
        with self._lock:
            for message in messages:
                self._awaited.pop(message, None)
            self._go_on_for_nobody()

    def _have_stand_still(self) -> None:
        self._nobody.clear()
        for attempt in self._batch:
            self._pause(attempt)

    def _go_on_for_nobody(self) -> None:
        if not (self._awaited or self._expected):
            self._nobody.set()
            for attempt in self._batch:
                attempt.resume()

    def _pause(self, attempt: Attempt) -> None:
        if attempt.claim.job_id not in self._awaited.values():
            attempt.pause()
