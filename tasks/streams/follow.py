"""Following streams: one thread a process reads them all and hands each event to the readers that wait for it."""

import collections
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.session import told
from tasks import ids
from tasks.streams import stream
from tasks.streams.events import Ended
from tasks.streams.stream import START, Cursor, StreamedEntry

log = structlog.get_logger(__name__)

BUFFERED_EVENTS = 256  # a thousand readers who never read, each of another job, hold some 200 MB
_BLOCK_S = 1.0
_GATHER_S = 0.01  # once busy, a pause that gathers: one read then serves many events
_GATHER_STREAMS = 3  # so many streams with news in one read is busy; fewer are read as they come
_QUIET_S = 2.0  # after so long without an event, PostgreSQL is asked whether the job has ended
_RETRY_S = 0.25  # while Redis can't be reached; PostgreSQL is then asked about every job, twice a second


class Overflow(Exception):
    """The reader is slower than the stream: it has to resume after the last event it got."""


class EndUntold(Exception):
    """The job has ended and the stream doesn't tell it: PostgreSQL has the rest."""


class Misled(Exception):
    """What the reader has was lost and told differently: it has to begin anew (docs/adr/0005)."""


class Stopped(Exception):
    """This process is about to end: the reader has to resume at another."""


@dataclass(eq=False, slots=True)
class Subscription:
    """One reader of one stream: a bounded buffer between the follower's thread and the reader's.

    `had` is the last event it was given. After `Misled` its attempt is the one from which to replay. With `end_only`
    the reader is given the job's last event and no other. `bell` is rung whenever there is something for `next`:
    for who reads several streams at once.
    """

    job_id: uuid.UUID
    had: Cursor
    end_only: bool = False
    bell: threading.Event | None = None
    _buffer: collections.deque[StreamedEntry] = field(default_factory=collections.deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _outcome: type[Exception] | None = None

    def next(self, timeout_s: float) -> StreamedEntry | None:
        """The next event, or None when none comes in time.

        Raises `Overflow`, `EndUntold`, `Misled` or `Stopped` once the buffer is empty.
        """
        with self._changed:
            if not self._buffer and self._outcome is None:
                self._changed.wait(timeout_s)
            if self._buffer:
                return self._buffer.popleft()
            if self._outcome is not None:
                raise self._outcome
            return None

    def push(self, news: Iterable[StreamedEntry]) -> None:
        """Gives it the events that come next; the others it has already, or they come later."""
        with self._changed:
            for streamed in news:
                if self._outcome is None:
                    self._take(streamed)
            if self._buffer or self._outcome:
                self._tell()

    def finish(self, outcome: type[Exception]) -> None:
        """Makes `next` raise `outcome` when the buffer is empty, unless something else ended it before."""
        with self._changed:
            self._outcome = self._outcome or outcome
            self._tell()

    def _tell(self) -> None:
        self._changed.notify()
        if self.bell:
            self.bell.set()

    def _take(self, streamed: StreamedEntry) -> None:
        last = isinstance(streamed.entry.event, Ended)
        if stream.misleads(streamed, self.had):
            self.had, self._outcome = Cursor(streamed.attempt, self.had.seq), Misled
            return
        if streamed.entry.seq != self.had.seq + 1 and not self.end_only:
            if last:  # what is between was lost with Redis, or this reader saw more than was kept
                self._outcome = EndUntold
            return
        if self.end_only and not last:
            return
        if len(self._buffer) >= BUFFERED_EVENTS:
            self._outcome = Overflow
            return
        self._buffer.append(streamed)
        self.had = streamed.cursor


@dataclass(slots=True)
class _Followed:
    """A stream under way: how far it was read, when it last gave something, and its readers."""

    cursor: Cursor
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
        self._wake_due = False
        self._followed: dict[uuid.UUID, _Followed] = {}
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._asked_at = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def release(self) -> None:
        """Ends every subscription, also those to come, with `Stopped`. Idempotent; doesn't wait."""
        self._stopped = True
        with self._lock:
            subscriptions = [sub for followed in self._followed.values() for sub in followed.subscriptions]
        for subscription in subscriptions:
            subscription.finish(Stopped)
        self._work.set()

    def stop(self) -> None:
        """`release`, and waits for the thread's end, within a second or so. Idempotent."""
        self.release()
        self._thread.join()

    def subscribe(
        self, job_id: uuid.UUID, had: Cursor, *, since: Cursor = START, bell: threading.Event | None = None
    ) -> Subscription:
        """The job's events after the last that the reader had: first those already there, then as they come.

        `since` spares reading again what the caller has read: the place of an entry whose number isn't above `had`'s.
        """
        return self._add(Subscription(job_id, had, bell=bell), since)

    def subscribe_to_end(self, job_id: uuid.UUID) -> Subscription:
        """The job's last event and no other."""
        return self._add(Subscription(job_id, START, end_only=True), START)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Idempotent."""
        with self._lock:
            followed = self._followed.get(subscription.job_id)
            if followed:
                followed.subscriptions.discard(subscription)
                if not followed.subscriptions:
                    del self._followed[subscription.job_id]

    def _add(self, subscription: Subscription, since: Cursor) -> Subscription:
        with self._lock:
            followed = self._followed.setdefault(subscription.job_id, _Followed(since))
            followed.subscriptions.add(subscription)
            followed.cursor = min(followed.cursor, since)  # a reader that has an event already skips it
            wake, self._wake_due = not self._wake_due, True
        self._work.set()
        if self._stopped:
            subscription.finish(Stopped)
        elif wake:
            self._wake()
        return subscription

    def _wake(self) -> None:
        """Ends the read under way, so that the next one has the new stream too. One wake serves all new readers."""
        try:
            with self._client.pipeline(transaction=False) as both:
                both.xadd(self._wake_key, {"w": "1"}, maxlen=1)
                both.expire(self._wake_key, 60)
                both.execute()
        except redis.RedisError as error:
            log.warning("redis_unreachable", error=str(error))

    def _run(self) -> None:
        while not self._stopped:
            if not self._work.wait(_BLOCK_S):
                continue
            try:
                news = self._read()
                self._ask_about(quiet_s=_QUIET_S)
            # Whatever it is, the thread goes on: dead, it would silence every stream of the process.
            except Exception as error:  # noqa: BLE001
                log.warning("follower_interrupted", kind=type(error).__name__, error=told(error)[:200])
                self._ask_about(quiet_s=0)
                time.sleep(_RETRY_S)
                continue
            if news >= _GATHER_STREAMS:
                time.sleep(_GATHER_S)

    def _read(self) -> int:
        """One blocking read over all streams; how many of them had news."""
        with self._lock:
            self._wake_due = False
            cursors = {job_id: followed.cursor for job_id, followed in self._followed.items()}
            if not cursors:
                self._work.clear()
                return 0
        by_key = {stream.key(job_id): job_id for job_id in cursors}
        asked: Any = {key: str(cursors[job_id]) for key, job_id in by_key.items()}
        asked[self._wake_key] = self._wake_cursor
        reply: Any = self._client.xread(asked, block=int(_BLOCK_S * 1000)) or []
        news = 0
        for raw_key, raw_entries in reply:
            name, last = raw_key.decode(), raw_entries[-1][0].decode()
            if name == self._wake_key:
                self._wake_cursor = last
            else:
                news += 1
                job_id = by_key[name]
                self._hand_out(job_id, cursors[job_id], stream.parse_id(last) or START, _parsed(job_id, raw_entries))
        return news

    def _hand_out(self, job_id: uuid.UUID, read_from: Cursor, last: Cursor, news: list[StreamedEntry]) -> None:
        with self._lock:
            followed = self._followed.get(job_id)
            if followed is None:
                return
            if followed.cursor == read_from:  # else a reader came meanwhile and needs it read again
                followed.cursor = last
            followed.heard_at = time.monotonic()
            subscriptions = list(followed.subscriptions)
        for subscription in subscriptions:
            subscription.push(news)

    def _ask_about(self, quiet_s: float) -> None:
        """Finds out by PostgreSQL what a stream that was lost, or can't be read, doesn't tell."""
        now = time.monotonic()
        if now - self._asked_at < max(quiet_s / 2, 2 * _RETRY_S):
            return
        self._asked_at = now
        with self._lock:
            quiet = [job_id for job_id, followed in self._followed.items() if now - followed.heard_at >= quiet_s]
        if not quiet:
            return
        try:
            over = self._ended(quiet)
        except Exception as error:  # noqa: BLE001 as in `_run`, which calls this where something failed already
            dry = isinstance(error, PoolTimeout)
            log.warning("connections_used_up" if dry else "database_unreachable", error=told(error))
            return
        with self._lock:
            ended = [sub for job_id in over if job_id in self._followed for sub in self._followed[job_id].subscriptions]
        for subscription in ended:
            subscription.finish(EndUntold)


def _parsed(job_id: uuid.UUID, raw: Any) -> list[StreamedEntry]:
    """The entries, or none where one can't be read: a foreign entry in one stream must not silence the others."""
    try:
        return stream.parse(raw)
    except (ValueError, KeyError) as error:
        log.warning("stream_unreadable", job_id=ids.show(job_id), error=str(error)[:200])
        return []
