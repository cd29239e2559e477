"""Reading a job's stream, whatever it is rendered as: before, during and after the run, from Redis or PostgreSQL."""

import datetime as dt
import math
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, Self

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from db import jobs as jobs_table
from db.jobs import Job, JobOutput
from db.session import told
from tasks import errors, telemetry
from tasks.errors import ForebayError
from tasks.jobs import jobs, lifecycle, view
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.queues import places
from tasks.queues.places import Wait
from tasks.streams import follow, stream
from tasks.streams.events import Ended, Restarted
from tasks.streams.follow import Follower, Subscription
from tasks.streams.stream import ANY_ATTEMPT, START, Cursor, StreamedEntry
from tasks.streams.transcript import Entry
from tasks.telemetry import StreamRestarted

log = structlog.get_logger(__name__)

_TICK_S = 1.0
_LOOK_S = 0.02  # between two looks of a process
_LOOKS_REMEMBERED = 4096
_FIRST_LOOK_S = 0.05  # most jobs start before that, and looking for their position would only delay them
_EARLIER_S = 0.25  # until the next try of a reader whose first look wasn't free


@dataclass(frozen=True, slots=True)
class LastStep:
    """A job's last event, with the job as it ended."""

    id: str
    job: JobView

    @classmethod
    def of(cls, job: JobView, last: StreamedEntry) -> Self:
        """What was found of the job before, and what the event says of its end."""
        assert isinstance(last.entry.event, Ended)
        return cls(last.id, job.ended_by(last.attempt, last.entry.event))


StreamStep = StreamedEntry | LastStep | Wait | None


class Scope(Protocol):
    """Where sessions come from."""

    def begin(self) -> AbstractContextManager[Session]: ...


class _Looks:
    """The positions of waiting jobs, remembered: each look is a query, and must be rare however many read.

    A process looks at a job at most once a second, and at one of all its jobs at most every 20 ms; a tenant's readers
    get every second of those looks at most (docs/adr/0014).
    """

    def __init__(self) -> None:
        self._seen: dict[uuid.UUID, tuple[float, Wait | None]] = {}
        self._free_at: dict[uuid.UUID | None, float] = {}  # by tenant; under None for all
        self._lock = threading.Lock()

    def at(self, tenant_id: uuid.UUID, job_id: uuid.UUID, look: Callable[[uuid.UUID], Wait | None]) -> Wait | None:
        """The job's position at the last look, which may be made now; None when it doesn't wait, or had no look."""
        with self._lock:
            now = time.monotonic()
            looked_at, known = self._seen.get(job_id, (-math.inf, None))
            free_at = max(self._free_at.get(None, 0.0), self._free_at.get(tenant_id, 0.0))
            if now < looked_at + _TICK_S or now < free_at:
                return known
            if len(self._seen) >= _LOOKS_REMEMBERED:
                self._seen.clear()
                self._free_at.clear()
            self._seen[job_id] = now, known  # for readers that ask meanwhile
            self._free_at |= {None: now + _LOOK_S, tenant_id: now + 2 * _LOOK_S}
        found = look(job_id)
        with self._lock:
            self._seen[job_id] = now, found
        return found


class Reader:
    """Reads jobs' streams for a process. Thread-safe. Its thread starts with the first use, after any fork."""

    def __init__(self, redis_url: str, sessions: Scope, lease_s: float) -> None:
        self._sessions = sessions
        self._lease_s = lease_s
        self._looks = _Looks()
        # What blocks for a second must be allowed more; what a request waits for, less.
        self._client = stream.connect(redis_url, timeout_s=0.5, max_connections=256)
        self._follower = Follower(stream.connect(redis_url, timeout_s=2, max_connections=32), self._which_ended)
        self._started = False
        self._starting = threading.Lock()

    def release(self) -> None:
        """Ends what is being read, with `follow.Stopped`. Doesn't wait."""
        self._follower.release()

    def stop(self) -> None:
        """`release`, and waits until the thread has ended."""
        self._follower.release()
        if self._started:
            self._follower.stop()

    def events(
        self, caller: Caller, job_id: uuid.UUID, had: Cursor = START, bell: threading.Event | None = None
    ) -> Iterator[StreamStep] | None:
        """The job's events after the last that the reader had, to the end; its position while it waits for its turn.

        None when the job has ended and the reader has exactly all of its events: asking again can give it nothing.
        Where what the reader has was lost and told differently, it is given `Restarted` and everything anew.

        Yields None when a second went by without news; with a `bell`, which rings when there are, at once. Raises
        `NotFound` at once; while iterating `follow.Overflow` (resume), `follow.Stopped` (resume elsewhere), and
        SQLAlchemy's errors where only PostgreSQL can tell the end.
        """
        with self._sessions.begin() as session:
            job, output = jobs.find(session, caller, job_id)
        if job.status in lifecycle.TERMINAL:
            left = _replay(job, output, had)
            return iter(left) if left else None
        return self._live(caller, view.of(job, None), had, bell)

    def follow(self, caller: Caller, job: JobView, had: Cursor = START) -> Iterator[StreamStep]:
        """`events` of a job that hadn't ended a moment ago, without asking PostgreSQL for it."""
        return self._live(caller, job, had)

    def wait_for_end(self, job_id: uuid.UUID, timeout_s: float, has_left: Callable[[], bool]) -> StreamedEntry | None:
        """Returns when the job has ended, after `timeout_s`, when the process stops, or when the client is gone.

        `has_left` says that, and is asked once a second. What it returns is the job's last event; None where that
        didn't come, or only PostgreSQL has it.
        """
        deadline = time.monotonic() + timeout_s
        subscription = self._started_follower().subscribe_to_end(job_id)
        try:
            while (left_s := deadline - time.monotonic()) > 0:
                if (last := subscription.next(min(left_s, _TICK_S))) or has_left():
                    return last
        except (follow.EndUntold, follow.Stopped):
            pass
        finally:
            self._follower.unsubscribe(subscription)
        return None

    def _started_follower(self) -> Follower:
        with self._starting:
            if not self._started:
                self._follower.start()
                self._started = True
        return self._follower

    def _live(
        self, caller: Caller, job: JobView, had: Cursor, bell: threading.Event | None = None
    ) -> Iterator[StreamStep]:
        """First what Redis holds already, read here page by page; then what comes, through the follower."""
        since = START
        for streamed in self._held(job.id):
            if stream.misleads(streamed, had):
                yield from self._anew(caller, job, streamed.attempt, bell)
                return
            if streamed.entry.seq == had.seq + 1:
                had = since = streamed.cursor
                step = _step(job, streamed)
                yield step
                if isinstance(step, LastStep):
                    return
        subscription = self._started_follower().subscribe(job.id, had, since=since, bell=bell)
        try:
            yield from self._follow(subscription, job)
        except follow.EndUntold:
            yield from self._rest(caller, job.id, subscription.had)
        except follow.Misled:
            yield from self._anew(caller, job, subscription.had.attempt, bell)
        finally:
            self._follower.unsubscribe(subscription)

    def _anew(self, caller: Caller, job: JobView, attempt: int, bell: threading.Event | None) -> Iterator[StreamStep]:
        yield _restarted(job, attempt)
        yield from self._live(caller, job, Cursor(attempt, 0), bell)

    def _follow(self, subscription: Subscription, job: JobView) -> Iterator[StreamStep]:
        """Events as they come, to the last; while it waits for its turn, the job's position whenever it changed."""
        shown: int | None = None
        waiting = job.status == Status.QUEUED
        look_at = time.monotonic() + max(_FIRST_LOOK_S, _due_in_s(job))
        while True:
            if waiting and time.monotonic() >= look_at:
                wait = self._looks.at(job.tenant_id, job.id, self._wait)
                if wait and wait.position != shown:
                    shown = wait.position
                    yield wait
                look_at = time.monotonic() + (_EARLIER_S if shown is None else _TICK_S)
            until_look_s = look_at - time.monotonic() if waiting else _TICK_S
            streamed = subscription.next(0 if subscription.bell else min(_TICK_S, max(0.0, until_look_s)))
            step = _step(job, streamed) if streamed else None
            yield step
            if step:
                waiting = False
                if isinstance(step, LastStep):
                    return

    def _rest(self, caller: Caller, job_id: uuid.UUID, had: Cursor) -> Iterator[StreamStep]:
        """What PostgreSQL has after the last event the reader had, and the job's last event in any case.

        The reader hasn't seen that one, whatever its number is: so much else may have been lost.
        """
        try:
            with self._sessions.begin() as session:
                job, output = jobs.find(session, caller, job_id)
        except errors.NotFound:
            return
        yield from _replay(job, output, had) or _replay(job, output, Cursor(ANY_ATTEMPT, 0))[-1:]

    def _held(self, job_id: uuid.UUID) -> Iterator[StreamedEntry]:
        try:
            for page in stream.pages(self._client, job_id):
                yield from page
        except redis.RedisError as error:
            log.warning("redis_unreachable", error=str(error))
        except (ValueError, KeyError) as error:  # an entry of another version: what PostgreSQL has is told
            log.warning("stream_unreadable", error=type(error).__name__)

    def _wait(self, job_id: uuid.UUID) -> Wait | None:
        try:
            with self._sessions.begin() as session:
                return places.wait(session, job_id, self._lease_s)
        except PoolTimeout:
            log.warning("connections_used_up")
        except (SQLAlchemyError, ForebayError) as error:
            log.warning("not_looked", error=told(error))
        return None

    def _which_ended(self, job_ids: Collection[uuid.UUID]) -> Collection[uuid.UUID]:
        with self._sessions.begin() as session:
            return jobs_table.ended(session, job_ids)


def _due_in_s(job: JobView) -> float:
    """Seconds until a scheduled job is due, by this machine's clock. Before that it has no position to look for.

    A look that comes a little early or late does no harm.
    """
    if job.status != Status.QUEUED or job.run_at is None:  # one that is scheduled is shown so too
        return 0.0
    return (job.run_at - dt.datetime.now(dt.UTC)).total_seconds()


def _step(job: JobView, streamed: StreamedEntry) -> StreamedEntry | LastStep:
    """The entry; a job's end with the job."""
    return LastStep.of(job, streamed) if isinstance(streamed.entry.event, Ended) else streamed


def _restarted(job: Job | JobView, attempt: int) -> StreamedEntry:
    """Tells a reader to forget what it has. Its number is 0, so that resuming after it gives everything."""
    telemetry.emit(StreamRestarted(job.id, attempt))
    return StreamedEntry(attempt, Entry(0, Restarted(attempt)))


def _replay(job: Job, output: JobOutput | None, had: Cursor) -> list[StreamedEntry | LastStep]:
    """An ended job's events after the last the reader had, as PostgreSQL keeps them, under its last attempt's number.

    A reader that has exactly all of them gets none. One that has more than all, or another event where the last is, saw
    words that were lost with Redis before anyone kept them: it is told to begin anew. Where it knows only a number,
    which says nothing of the attempt, it gets just the end.
    """
    entries = jobs.stored_transcript(output).entries
    kept = [StreamedEntry(job.attempt, entry) for entry in entries]
    last = Cursor(job.attempt, len(entries) + 1)
    end = LastStep(str(last), view.with_output(job, output))
    has_another_end = had.seq >= last.seq and had.attempt < job.attempt
    if has_another_end or any(stream.misleads(streamed, had) for streamed in kept):
        return [_restarted(job, job.attempt), *kept, end]
    left = [streamed for streamed in kept if streamed.entry.seq > had.seq]
    return [*left, end] if had.seq != last.seq else []
