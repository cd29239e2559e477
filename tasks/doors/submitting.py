"""The desk: where jobs are accepted, cancelled and answered, for every entrypoint. It owns the transactions."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.session import told
from tasks import errors, failpoints, ids, settings, telemetry
from tasks.batches import batches
from tasks.doors import idempotency
from tasks.doors.idempotency import IdempotencyClaim
from tasks.doors.reading import Reader, Scope
from tasks.jobs import endings, jobs, removing
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Plan
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.queues import broker, window
from tasks.queues.window import WakeUp
from tasks.telemetry import JobAccepted

log = structlog.get_logger(__name__)

Make = Callable[[Session], Plan]  # what is to be accepted, planned in the transaction that accepts it


class Waker(Protocol):
    """What gets committed jobs to workers: soon, and best effort."""

    def deliver(self, queue: str, wake_up: WakeUp | None) -> None:
        """Has the wake-up sent at once; where there is none, has the queue's window refilled."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Made once a process. Thread-safe.

    A command has no way to Redis, and only accepts: the sweep finds its jobs. `announce` is told of the queue of an
    interactive job that is about to be written down, and returns at once. `before_waiting` is what `answer` calls once
    there is nothing left to do but to wait.
    """

    sessions: Scope
    lease_s: float = settings.LEASE_S
    ttl_s: int = settings.STREAM_TTL_S
    waker: Waker | None = None
    client: redis.Redis | None = None
    reader: Reader | None = None
    before_waiting: Callable[[], None] = lambda: None
    announce: Callable[[str], None] = lambda queue: None  # noqa: ARG005

    def accept(self, caller: Caller, make: Make, once: IdempotencyClaim | None = None) -> tuple[JobView, bool]:
        """Writes the job down, lets it straight into the window where that has room, and wakes a worker.

        When `once` stands for this request already: the job as it is now, and True. Raises `IdempotencyMismatch`, and
        what `make` raises: then there is no job.
        """
        admitted = False
        with self.sessions.begin() as session:

            def write() -> JobView:
                nonlocal admitted
                plan = make(session)
                if plan.asked.lane == "interactive":
                    self.announce(plan.queue)
                failpoints.passed("api.before_commit")
                room = window.room(self.lease_s) if self.waker else None
                job, admitted = jobs.insert(session, caller, plan, room)
                return job

            accepted, replayed = idempotency.once(session, caller, once, write, jobs.get)
        failpoints.passed("api.after_commit_before_response")
        if not replayed:
            telemetry.emit(JobAccepted(accepted.id, accepted.type, accepted.model, accepted.lane))
        if self.waker:
            lane = broker.lane(accepted.queue, accepted.lane)
            self.waker.deliver(accepted.queue, WakeUp(accepted.id, lane) if admitted else None)
        return accepted, replayed

    def cancel(self, caller: Caller, job_id: uuid.UUID) -> JobView:
        """Ends the tenant's job unless it has ended; the job as it is then. Idempotent. Raises `NotFound`.

        A batch ends itself, once its files hold what was finished.
        """
        assert self.client is not None
        assert self.waker is not None
        with self.sessions.begin() as session:
            found = jobs.get(session, caller, job_id)
        if found.type == batches.KIND and found.parent_id is None:
            self.cancel_batch(caller, job_id)
            return found
        job, closings = endings.cancel(self.sessions, self.client, caller, job_id, self.ttl_s)
        if closings:
            for queue in {job.queue, *endings.follow_up(self.sessions, self.client, closings, self.ttl_s)}:
                self.waker.deliver(queue, None)
        return job

    def cancel_batch(self, caller: Caller, batch_id: uuid.UUID) -> None:
        """Has the tenant's batch end, unless it ends already. Idempotent. Raises `NotFound`."""
        assert self.waker is not None
        with self.sessions.begin() as session:
            queue = batches.cancel(session, caller, batch_id)
        if queue is not None:
            self.waker.deliver(queue, None)

    def erase(self, caller: Caller, job_id: uuid.UUID) -> None:
        """Erases the tenant's job, which has ended, with its children. Raises `NotFound`, `Conflict`."""
        assert self.client is not None
        removing.erase(self.sessions, self.client, caller, job_id)

    def answer(
        self,
        caller: Caller,
        make: Make,
        wait_s: float,
        has_left: Callable[[], bool] = lambda: False,
        once: IdempotencyClaim | None = None,
    ) -> JobView:
        """Accepts a job and waits for its end, however it ends.

        The job is cancelled after `wait_s`, or when the client is gone (`has_left`, asked once a second), since nobody
        else knows of it. A job that `once` found is not: the request that made it may still wait for it.
        Raises `NotInTime` unless it has ended, and what `accept` raises.
        """
        accepted, replayed = self.accept(caller, make, once)
        try:
            found = self._ended(caller, accepted, wait_s, has_left)
        except Exception:
            if not replayed:
                self._forsake(caller, accepted.id)
            raise
        if found.ended:
            return found
        # It may end by itself at this very moment.
        if not replayed and (ended := self.cancel(caller, found.id)).status != Status.CANCELLED:
            return ended
        raise errors.NotInTime(f"the job didn't end within {wait_s:g} seconds; try again")

    def _ended(self, caller: Caller, accepted: JobView, wait_s: float, has_left: Callable[[], bool]) -> JobView:
        """The job after the wait, whether it has ended or not."""
        assert self.reader is not None
        self.before_waiting()
        if not accepted.ended:
            self.reader.wait_for_end(accepted.id, wait_s, has_left)
        with self.sessions.begin() as session:
            return jobs.get(session, caller, accepted.id)

    def _forsake(self, caller: Caller, job_id: uuid.UUID) -> None:
        """Cancels a job whose asker is told of an error and never of the job. Best effort."""
        try:
            self.cancel(caller, job_id)
        except (SQLAlchemyError, errors.ForebayError) as error:
            log.warning("not_forsaken", job_id=ids.show(job_id), error=told(error))
