"""The publisher: what one attempt writes, first in memory, then into the stream as far as Redis lets it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.session import told
from tasks import errors, failpoints
from tasks.streams.stream import AppendResult, Writer
from tasks.streams.transcript import Transcript

log = structlog.get_logger(__name__)

_RETRY_S = 0.5


@dataclass(slots=True)
class Publisher:
    """`transcript` is the truth of this attempt; `flush` brings the stream up to it. Used by one thread.

    `newest` asks PostgreSQL whether the attempt is still the newest; `silent` says that the worker has been cut off
    past its lease and must not publish. `sent` counts the entries that the stream, open under this attempt, has; None
    says that it isn't open yet.
    """

    heard: ClassVar[bool] = True  # by the job's readers, who take what is said for the answer
    writer: Writer
    transcript: Transcript
    newest: Callable[[], bool]
    silent: Callable[[], bool]
    sent: int | None = None
    _retry_at: float = 0.0

    def flush(self) -> None:
        """Sends what hasn't been sent. Redis out of reach leaves it for the next time. Raises `Fenced`."""
        entries = self.transcript.entries
        if self.sent == len(entries) or self.silent() or time.monotonic() < self._retry_at:
            return
        failpoints.passed("worker.after_generate_before_xadd")
        try:
            result = self.writer.open(entries) if self.sent is None else self.writer.append(entries[self.sent :])
            if result is not AppendResult.OK:
                self._resolve(result)
        except redis.RedisError as error:
            # It may be another life of Redis in which the next try finds the stream: written whole, it is surely so.
            self.sent, self.writer.anew = None, True
            self._put_off(error)
            return
        except SQLAlchemyError as error:
            self._put_off(error)
            return
        self.sent = len(entries)
        failpoints.passed("worker.after_xadd")

    def _put_off(self, error: Exception) -> None:
        log.warning("stream_unreachable", error=told(error))
        self._retry_at = time.monotonic() + _RETRY_S

    def _resolve(self, result: AppendResult) -> None:
        """Redis lost the stream, or somebody opened it under a newer number: PostgreSQL knows who is right."""
        if result is AppendResult.LOST and self.newest():
            log.warning("stream_republished", entries=len(self.transcript.entries))
            result = self.writer.open(self.transcript.entries)
        if result is not AppendResult.OK:
            raise errors.Fenced(f"attempt {self.writer.attempt} is shut out of the stream")


@dataclass(slots=True)
class Unheard(Publisher):
    """What a stage has a model say that isn't the answer: it stays in the transcript, and nobody reads it."""

    heard: ClassVar[bool] = False

    def flush(self) -> None:
        """Nothing is sent."""


def beside(publisher: Publisher) -> Unheard:
    """For the same attempt, with a transcript of its own."""
    return Unheard(publisher.writer, Transcript(), publisher.newest, publisher.silent)
