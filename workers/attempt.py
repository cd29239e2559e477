"""One attempt under way in a slot, as the worker's other threads see it."""

import enum
import threading

from tasks import errors
from tasks.engine import Handle
from tasks.jobs import Claim
from tasks.streams.transcript import Transcript


class Stop(enum.Enum):
    ENDED = "ended"  # somebody else ended the job or took it over: drop the work
    DRAIN = "drain"  # the worker is going: hand the job back


class Attempt:
    """A claim and how to stop its run, from any thread and in any phase."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.transcript: Transcript = claim.checkpoint
        self.progress = (0, 0)  # prompt tokens evaluated, of how many
        self.checkpointed = 0  # entries that PostgreSQL has
        self.proven = False  # it has come past where earlier attempts crashed
        self._lock = threading.Lock()
        self._handle: Handle | None = None
        self.stopped: Stop | None = None

    def evaluated(self) -> None:
        """The whole prompt has been: the answer has begun."""
        total = self.progress[1]
        self.progress = (total, total)

    def hold(self, handle: Handle) -> None:
        """Names the generation that `stop` has to cancel; cancels it at once when the stop came first."""
        with self._lock:
            self._handle = handle
            if self.stopped:
                handle.cancel()

    def release(self) -> None:
        with self._lock:
            handle, self._handle = self._handle, None
        if handle:
            handle.close()

    def stop(self, why: Stop) -> None:
        """Ends the run soon. The first reason stays, except that an ended job overrides a drain. Idempotent."""
        with self._lock:
            if self.stopped is None or why is Stop.ENDED:
                self.stopped = why
            if self._handle:
                self._handle.cancel()

    def check(self) -> None:
        """Raises `Cancelled` when the run is to stop."""
        if self.stopped:
            raise errors.Cancelled(self.stopped.value)
