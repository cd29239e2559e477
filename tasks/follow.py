"""Following streams: one thread a process reads them all and hands each event to who waits for it."""

import collections
import threading
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from tasks import stream
from tasks.stream import Event

log = structlog.get_logger(__name__)

BUFFERED_EVENTS = 1000
_BLOCK_S = 1.0
_GATHER_S = 0.01  # once busy, a pause that gathers: one read then serves many events
_QUIET_S = 2.0  # after so long without an event, PostgreSQL is asked whether the job has ended


class Overflow(Exception):
    """The reader is slower than the stream: it has to resume after the last event it got."""


class Ended(Exception):
    """The job has ended and the stream won't tell: PostgreSQL has the rest."""


@dataclass(eq=False, slots=True)
class Subscription:
    """One reader of one stream: a bounded buffer between the follower's thread and the reader's."""

    job_id: uuid.UUID
    after: int
    _events: collections.deque[Event] = field(default_factory=collections.deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _outcome: type[Exception] | None = None

    def next(self, timeout_s: float) -> Event | None:
        """The next event, or None when none comes in time. Raises `Overflow` or `Ended` once the buffer is empty."""
        with self._changed:
            if not self._events and self._outcome is None:
                self._changed.wait(timeout_s)
            if self._events:
                return self._events.popleft()
            if self._outcome is not None:
                raise self._outcome
            return None

    def push(self, events: Collection[Event]) -> None:
        with self._changed:
            for event in events:
                if event.entry.seq != self.after + 1 or self._outcome is not None:
                    continue
                if len(self._events) >= BUFFERED_EVENTS:
                    self._outcome = Overflow
                    break
                self._events.append(event)
                self.after = event.entry.seq
            self._changed.notify()

    def end(self) -> None:
        with self._changed:
            self._outcome = self._outcome or Ended
            self._changed.notify()


@dataclass(slots=True)
class _Followed:
    """A stream under way: where reading stands, who listens, when it last gave something."""

    cursor: str = "0-0"
    heard_at: float = field(default_factory=time.monotonic)
    subscriptions: set[Subscription] = field(default_factory=set)


class Follower:
    """Follows any number of streams on one blocking Redis connection. `start` it once; thread-safe."""

    def __init__(self, client: redis.Redis, ended: Callable[[Collection[uuid.UUID]], Collection[uuid.UUID]]) -> None:
        """`ended` tells which of some jobs have ended; `client` must allow a read to block for a second."""
        self._client = client
        self._ended = ended
        self._wake_key = f"forebay:wake:{uuid.uuid4().hex}"
        self._wake_cursor = "0-0"
        self._followed: dict[uuid.UUID, _Followed] = {}
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._asked_at = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread within a second or so. Idempotent."""
        self._stopped = True
        self._work.set()
        self._thread.join()

    def subscribe(self, job_id: uuid.UUID, after: int) -> Subscription:
        """Events of the job with a number above `after`: first those already there, then as they come."""
        subscription = Subscription(job_id, after)
        with self._lock:
            followed = self._followed.setdefault(job_id, _Followed())
            followed.subscriptions.add(subscription)
            followed.cursor = "0-0"  # read again from the start: who has an event already skips it
        self._work.set()
        self._wake()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Idempotent."""
        with self._lock:
            followed = self._followed.get(subscription.job_id)
            if followed:
                followed.subscriptions.discard(subscription)
                if not followed.subscriptions:
                    del self._followed[subscription.job_id]

    def _wake(self) -> None:
        try:
            self._client.xadd(self._wake_key, {"w": "1"}, maxlen=1)
            self._client.expire(self._wake_key, 60)
        except redis.RedisError as error:
            log.warning("redis_unreachable", error=str(error))

    def _run(self) -> None:
        while not self._stopped:
            if not self._work.wait(_BLOCK_S):
                continue
            try:
                busy = self._read()
                self._ask_about_quiet_ones()
            except (redis.RedisError, SQLAlchemyError) as error:
                log.warning("follower_interrupted", error=str(error))
                time.sleep(_BLOCK_S / 4)
                continue
            if busy:
                time.sleep(_GATHER_S)

    def _read(self) -> bool:
        """One blocking read over all streams. True when it gave events of jobs."""
        with self._lock:
            cursors = {stream.key(job_id): followed.cursor for job_id, followed in self._followed.items()}
            by_key = {stream.key(job_id): job_id for job_id in self._followed}
            if not cursors:
                self._work.clear()
                return False
        cursors[self._wake_key] = self._wake_cursor
        asked: Any = cursors
        reply: Any = self._client.xread(asked, block=int(_BLOCK_S * 1000)) or []
        busy = False
        for raw_key, raw_entries in reply:
            name, last = raw_key.decode(), raw_entries[-1][0].decode()
            if name == self._wake_key:
                self._wake_cursor = last
            else:
                busy = True
                self._hand_out(by_key[name], cursors[name], last, stream.parse(raw_entries))
        return busy

    def _hand_out(self, job_id: uuid.UUID, read_from: str, last: str, events: list[Event]) -> None:
        with self._lock:
            followed = self._followed.get(job_id)
            if followed is None:
                return
            if followed.cursor == read_from:
                followed.cursor = last
            followed.heard_at = time.monotonic()
            subscriptions = list(followed.subscriptions)
        for subscription in subscriptions:
            subscription.push(events)

    def _ask_about_quiet_ones(self) -> None:
        """Finds out by PostgreSQL what a stream that was lost, or whose writer was, can't tell."""
        now = time.monotonic()
        if now - self._asked_at < _QUIET_S / 2:
            return
        self._asked_at = now
        with self._lock:
            quiet = [job_id for job_id, followed in self._followed.items() if now - followed.heard_at > _QUIET_S]
        if not quiet:
            return
        over = self._ended(quiet)
        with self._lock:
            ended = [sub for job_id in over if job_id in self._followed for sub in self._followed[job_id].subscriptions]
        for subscription in ended:
            subscription.end()
