"""Dispatch: after a commit, sends what moved into a window. Best effort, in bounded time; the sweep does the rest."""

import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.session import Sessions, told
from tasks import failpoints, ids
from tasks.queues import window
from tasks.queues.window import WakeUp

log = structlog.get_logger(__name__)

_LOOK_S = 1.0
_QUIET_AFTER_FAILURE_S = 1.0
_UNHEARD_S = 1.0  # so long nothing is announced where nobody listened: batch work that began since goes unwarned


class Sender(Protocol):
    """What takes wake-ups to the workers."""

    def send(self, job_id: uuid.UUID, queue_name: str) -> None:
        """Sends the wake-up of a job. Raises redis-py's `RedisError` where that fails."""

    def announce(self, queue: str) -> bool:
        """Says that an interactive job of the queue is on its way; whether anybody listened. Raises as `send`."""


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Refills windows and sends. Safe to share between threads."""

    sender: Sender
    sessions: Sessions
    lease_s: float

    def refill(self, queue: str) -> bool:
        """Looks whether the queue's window has room, in a transaction of its own, and sends what moved into it.

        Raises SQLAlchemy's errors when PostgreSQL can't be reached; False says that the broker couldn't be.
        """
        with self.sessions.begin() as session:
            wake_ups = window.refill(session, queue, self.lease_s)
        return self.send(wake_ups)

    def announce(self, queue: str) -> bool:
        """Says that an interactive job is on its way. False when nobody listened, or the broker failed."""
        try:
            return self.sender.announce(queue)
        except (redis.RedisError, OSError) as error:
            log.warning("broker_unreachable", error=str(error))
            return False

    def send(self, wake_ups: Iterable[WakeUp]) -> bool:
        """Sends the wake-ups in order. False when the broker failed: the rest is left to the sweep."""
        for wake_up in wake_ups:
            failpoints.passed("dispatch.before_send")
            try:
                self.sender.send(wake_up.job_id, wake_up.queue)
                failpoints.passed("dispatch.after_send")
            except (redis.RedisError, OSError) as error:
                log.warning("broker_unreachable", error=str(error), job_id=ids.show(wake_up.job_id))
                return False
        return True


class Refiller:
    """Refills windows on a thread of its own, so that a request or a slot only asks for it and goes on.

    All that is asked for during a refill is served together by the next one. Otherwise every slot and every request
    would wait in line for the window's lock (docs/adr/0005). Thread-safe.
    """

    def __init__(self, dispatcher: Dispatcher, gather_s: float = 0.0) -> None:
        """`gather_s`: delay before each refill, so that requests made meanwhile share it. 0 where a client waits."""
        self._dispatcher, self._gather_s = dispatcher, gather_s
        self._queues: set[str] = set()
        self._wake_ups: list[WakeUp] = []
        self._coming: set[str] = set()
        self._unheard_until: dict[str, float] = {}
        self._lock = threading.Lock()
        self._asked = threading.Event()

    def ask(self, queue: str) -> None:
        """Has the queue's window refilled soon, by a look that is later than this call."""
        with self._lock:
            self._queues.add(queue)
        self._asked.set()

    def send(self, wake_up: WakeUp) -> None:
        """Has the wake-up sent at once."""
        with self._lock:
            self._wake_ups.append(wake_up)
        self._asked.set()

    def announce(self, queue: str) -> None:
        """Has workers told at once that an interactive job of the queue is being written down: batch work gives way."""
        if time.monotonic() >= self._unheard_until.get(queue, 0.0):
            with self._lock:
                self._coming.add(queue)
            self._asked.set()

    def deliver(self, queue: str, wake_up: WakeUp | None) -> None:
        """What follows the commit of a job that `window.admit` was asked for: `send`, or else `ask`."""
        if wake_up:
            self.send(wake_up)
        else:
            self.ask(queue)

    def run(self, gone: threading.Event) -> None:
        """Serves until `gone` is set, then once more. What fails is left to the sweep.

        After a failure it pauses for a second.
        """
        while not gone.is_set():
            if self._asked.wait(_LOOK_S):
                gone.wait(self._gather_s)
                if not self._serve():
                    gone.wait(_QUIET_AFTER_FAILURE_S)
        self._serve()

    def wake(self) -> None:
        """Lets `run` notice at once that it is to end."""
        self._asked.set()

    def _serve(self) -> bool:
        self._asked.clear()
        with self._lock:
            queues, self._queues = self._queues, set()
            wake_ups, self._wake_ups = self._wake_ups, []
            coming, self._coming = self._coming, set()
        for queue in coming:
            if not self._dispatcher.announce(queue):
                self._unheard_until[queue] = time.monotonic() + _UNHEARD_S
        try:
            served = [self._dispatcher.send(wake_ups), *(self._dispatcher.refill(queue) for queue in queues)]
            return all(served)
        except SQLAlchemyError as error:
            log.warning("refill_failed", error=told(error))
        except Exception:  # the thread's boundary: it must not stop for a slip
            log.exception("refill_failed")
        return False
