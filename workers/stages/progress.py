"""How far a stage has come: for the record always, as an event a percent, and not too many of those a second."""

import time

from tasks.limits.spent import Spent
from tasks.streams.events import Progress, Started
from workers.attempt import Attempt
from workers.publisher import Publisher

_PROGRESS_S = 0.25


class Reporter:
    """Tells that the job started, unless an earlier attempt has, and then its progress. Used by one thread.

    Nothing is written before there is progress to tell: a job of one text is over by then.
    """

    def __init__(self, attempt: Attempt, publisher: Publisher, worker_id: str) -> None:
        self._attempt, self._publisher = attempt, publisher
        self._told_percent = 0
        self._told_at = time.monotonic()
        if not publisher.transcript.entries:
            publisher.transcript.add(Started(attempt.claim.attempt, worker_id))

    def report(self, done: int, total: int, tokens: int = 0) -> None:
        """`done` of `total`, for `tokens` so far that the job hasn't been charged for. Raises `Fenced`."""
        self._attempt.proven = self._attempt.proven or done > self._attempt.progress[0] > 0
        self._attempt.progress = (done, total)
        now, percent = time.monotonic(), 100 * done // max(total, 1)
        if done < total and percent > self._told_percent and now - self._told_at >= _PROGRESS_S:
            self._told_percent, self._told_at = percent, now
            self._publisher.transcript.add(Progress(done, total, Spent(prompt=tokens)))
            self._publisher.flush()
