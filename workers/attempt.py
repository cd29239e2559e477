"""One attempt under way in a slot, as the worker's other threads see it."""

import enum
import threading
import time
from typing import Protocol

from tasks import errors
from tasks.jobs.attempts import Claim
from tasks.models.engine import Pausable
from tasks.streams.events import Resumed, Started
from tasks.streams.transcript import Transcript

_MOST_PAUSED_S = 10.0  # all pauses together: then it runs on beside whatever comes


class Stop(enum.Enum):
    ENDED = "ended"  # somebody else ended the job or took it over: drop the work
    DRAIN = "drain"  # the worker is going: hand the job back
    YIELD = "yield"  # an interactive job waits for the slot: hand the job back


class Held(Protocol):
    """What an attempt has under way elsewhere: a generation, a text that is being cut."""

    def cancel(self) -> None:
        """Stops it, from any thread, in any phase. Idempotent."""

    def close(self) -> None:
        """Gives back what it held. Idempotent."""


class Attempt:
    """A claim and how to stop its run, from any thread and in any phase."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.claimed_at = time.monotonic()
        self.transcript: Transcript = claim.checkpoint
        self.progress = (0, 0)  # prompt tokens evaluated, of how many
        self._kept = (self.transcript, 0)  # how many of whose entries this attempt has written to PostgreSQL
        self.proven = False  # it has come past where earlier attempts crashed
        # Held by whoever writes to PostgreSQL what was streamed, a checkpoint or the end: the end drops the checkpoints
        # that it finds, and a transaction that isn't over isn't found.
        self.writing = threading.Lock()
        self.first_token_s: float | None = None  # after the claim; None where an earlier attempt had the first
        self.lost = False  # readers may have had entries that nobody has kept
        self._lock = threading.Lock()
        self._held: Held | None = None
        self._paused_at: float | None = None
        self._paused_s = 0.0  # before the pause under way
        self.stopped: Stop | None = None

    def evaluated(self) -> None:
        """The whole prompt has been: the answer has begun."""
        total = self.progress[1]
        self.progress = (total, total)

    def unkept(self) -> tuple[Transcript, int]:
        """The transcript, and how many of its entries this attempt has kept in PostgreSQL.

        None of them when it has just been read from Redis: that may differ from what older attempts kept.
        """
        transcript, (kept_of, kept) = self.transcript, self._kept
        return transcript, kept if kept_of is transcript else 0

    def keep(self, transcript: Transcript, entries: int) -> None:
        """Notes that PostgreSQL has so many entries of this transcript."""
        self._kept = (transcript, entries)

    def admit_loss(self) -> None:
        """Adds an entry that says that entries were lost, where they were and this attempt hasn't said so yet."""
        told = (one.event for one in self.transcript.entries if isinstance(one.event, Started | Resumed))
        said = any(event.lost and event.attempt == self.claim.attempt for event in told)
        if self.lost and not said:
            self.transcript.add(Resumed(self.claim.attempt, lost=True))

    def hold(self, held: Held) -> None:
        """Names what `stop` has to cancel; cancels it at once when the stop came first."""
        with self._lock:
            self._held = held
            if self.stopped:
                held.cancel()
            elif self._paused_at is not None and isinstance(held, Pausable):
                held.pause()

    def release(self) -> None:
        with self._lock:
            held, self._held = self._held, None
        if held:
            held.close()

    def pause(self) -> None:
        """What it holds stands still, where that can, until `resume`; for `_MOST_PAUSED_S` in all. Idempotent."""
        with self._lock:
            if self._paused_at is None and self._paused_s < _MOST_PAUSED_S:
                self._paused_at = time.monotonic()
                if isinstance(self._held, Pausable):
                    self._held.pause()

    def resume(self) -> None:
        """Idempotent."""
        with self._lock:
            if self._paused_at is not None:
                self._paused_s += time.monotonic() - self._paused_at
                self._paused_at = None
                if isinstance(self._held, Pausable):
                    self._held.resume()

    def paused(self) -> bool:
        """Whether it stands still. Whoever asks has it go on where it has done so for long enough."""
        since = self._paused_at
        if since is not None and self._paused_s + time.monotonic() - since >= _MOST_PAUSED_S:
            self.resume()
        return self._paused_at is not None

    def stop(self, why: Stop) -> None:
        """Ends the run soon. The first reason stays, except that an ended job overrides the others. Idempotent."""
        with self._lock:
            if self.stopped is None or why is Stop.ENDED:
                self.stopped = why
            if self._held:
                self._held.cancel()

    def check(self) -> None:
        """Raises `Cancelled` when the run is to stop."""
        if self.stopped:
            raise errors.Cancelled(self.stopped.value)
