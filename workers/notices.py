"""What Flower hears of jobs. To Celery a task has succeeded when its function has returned; here its job says how it
went, by the events that Celery has for that. Nothing is sent, or asked, while no Flower listens.
"""

import threading
import uuid
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.session import Sessions
from tasks import ids
from tasks.jobs import jobs
from tasks.jobs.lifecycle import TERMINAL, Status
from tasks.queues import broker
from tasks.telemetry import Fact, JobEnded

log = structlog.get_logger(__name__)

_TASKS = "task"  # the group of events that Flower has workers send
_EVENTS = {
    Status.SUCCEEDED: "task-succeeded",
    Status.FAILED: "task-failed",
    Status.CANCELLED: "task-revoked",
    Status.EXPIRED: "task-revoked",
}
_GOES_ON = "task-retried"
_LOOKS, _PAUSE_S = 5, 1.0


class Events(Protocol):
    """Celery's dispatcher of events. `groups` are those that it sends; all, when there are none."""

    enabled: bool
    groups: set[str]

    def send(self, type: str, **fields: Any) -> None:
        """Sends an event, or keeps it until the broker is back. Thread-safe."""


class Notices:
    """Sends what Flower hears, by the dispatcher that the worker has at the time; it has none while it starts."""

    def __init__(self, events: Callable[[], Events | None], sessions: Sessions) -> None:
        self._events, self._sessions = events, sessions
        self._lock = threading.Lock()
        self._open: dict[uuid.UUID, int] = {}  # how often each is still looked at

    def ended(self, fact: Fact) -> None:
        """The adapter for facts: tells of each job that ended without success, whoever ended it."""
        if isinstance(fact, JobEnded) and fact.status != Status.SUCCEEDED:
            self._send(fact.job_id, Status(fact.status), fact.error_code)

    def left(self, job_id: uuid.UUID, looks: int = _LOOKS) -> bool:
        """Tells of a job that its task left without having ended it: it goes on later, or somebody else ended it.

        True when the job has succeeded. One that still runs is looked at again, `looks` times, a second apart: whoever
        cancels a job stops its run first and writes the end then. What runs elsewhere is told of from there.
        """
        found = self._status(job_id) if self._listened() else None
        if found is None:
            return False
        status, error_code = found
        if status is Status.RUNNING:
            self._look_again(job_id, looks)
        elif status is not Status.SUCCEEDED:
            self._send(job_id, status, error_code)
        return status is Status.SUCCEEDED

    def exchanged(self, named: uuid.UUID, ran: uuid.UUID, *, succeeded: bool) -> None:
        """Tells of a task whose job is to come later, and of the job that ran in its turn, unknown to Celery.

        What didn't succeed is told of by `ended` and `left`.
        """
        self.left(named)
        if succeeded:
            self._send(ran, Status.SUCCEEDED, None)

    def _status(self, job_id: uuid.UUID) -> tuple[Status, str | None] | None:
        try:
            with self._sessions() as session:
                return jobs.status(session, job_id)
        except SQLAlchemyError as error:
            log.warning("not_told", error=str(error))
            return None

    def _look_again(self, job_id: uuid.UUID, looks: int) -> None:
        """Has all that still run looked at in a second, by one thread."""
        if not looks:
            return
        with self._lock:
            waits = bool(self._open)
            self._open[job_id] = looks - 1
        if not waits:
            timer = threading.Timer(_PAUSE_S, self._look)
            timer.daemon = True
            timer.start()

    def _look(self) -> None:
        with self._lock:
            running, self._open = self._open, {}
        for job_id, looks in running.items():
            self.left(job_id, looks)

    def _listened(self) -> bool:
        events = self._events()
        return events is not None and events.enabled and (not events.groups or _TASKS in events.groups)

    def _send(self, job_id: uuid.UUID, status: Status, error_code: str | None) -> None:
        """`result` is what Flower's page of tasks shows, and what its search finds."""
        events, shown = self._events(), ids.show(job_id)
        if events is None or not self._listened():
            return
        about = {"uuid": shown, "name": broker.RUN, "args": f"['{shown}']", "kwargs": "{}"}
        said = error_code or str(status)
        if status in TERMINAL:
            events.send(_EVENTS[status], **about, result=said, exception=error_code, expired=status is Status.EXPIRED)
        else:
            events.send(_GOES_ON, **about, result=said)
