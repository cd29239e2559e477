"""Calls: requests that wait for the job they ask for, in whichever dialect, and are answered with its words.

Who calls knows nothing of the job. When its client is gone, the job goes on for a while: the client may come back for
it (`tasks.doors.calls`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import structlog
from flask import Response, request, stream_with_context
from sqlalchemy.exc import SQLAlchemyError

from db.session import told
from dialects import sse
from tasks import errors
from tasks.doors import answering, idempotency
from tasks.doors.answering import WHOLE, Step
from tasks.doors.calls import Asked
from tasks.doors.idempotency import IdempotencyClaim
from tasks.doors.reading import LastStep, Reader, StreamStep
from tasks.doors.submitting import Make
from tasks.errors import ForebayError
from tasks.jobs import jobs
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.queues.places import Wait
from tasks.streams import follow
from tasks.streams.events import Event
from webapi import auth, presence, requestlog, service
from webapi.service import Service

log = structlog.get_logger(__name__)

_LOOK_S = 0.9  # it is asked once a second, or more often
RETRIES = "X-Stainless-Retry-Count"  # how OpenAI's client libraries say that they ask again: anything but 0


class Rendering(Protocol):
    """A job's events in the words of a dialect, as they come. `choice` counts a request's several answers from 0."""

    mimetype: str

    def event(self, choice: int, event: Event) -> bytes: ...

    def choice_ended(self, choice: int, job: JobView) -> bytes: ...

    def ended(self, job: JobView) -> bytes:
        """After the last choice."""

    def waiting(self, wait: Wait | None) -> bytes:
        """What keeps the connection open: where the job stands in its queue, or nothing in particular."""

    def failed(self, code: str, message: str) -> bytes:
        """The last that is said where the stream breaks off."""


@dataclass(slots=True)
class Call:
    """A job and the request for it. Where that waits, it holds one of its tenant's places until `end`."""

    serving: Service
    caller: Caller
    asked: Asked
    choices: int  # how many children give an answer each; 0 where it is the job's own
    patient: bool  # the client waits to the end: nobody else knows of the job
    waits: bool
    job: JobView = field(init=False)
    _over: bool = False
    _looked_at: float = field(default_factory=time.monotonic)

    def gone(self) -> bool:
        """True when its client has closed the connection. Looks once a second, however often it is asked, and tells the
        register each time that the client is still there."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_S:
            return False
        self._looked_at = now
        if presence.has_left():
            return True
        if self.patient:
            self.serving.calls.keep(self.asked, self.job.id)
        return False

    def end(self, *, answered: bool) -> None:
        """It waits no more: it has been answered, or its client is gone and may come back. Idempotent."""
        if self._over:
            return
        self._over = True
        if self.waits:
            self.serving.readers.give_back(self.caller.tenant_id)
        if not self.patient:
            return
        if answered:
            self.serving.calls.close(self.asked, self.job.id)
        else:
            self.serving.calls.leave(self.asked, self.job.id)


def begin(
    make: Make,
    given: object,
    once: IdempotencyClaim | None = None,
    *,
    choices: int = 0,
    patient: bool = True,
    waits: bool = True,
) -> Call:
    """Has the job accepted; or joins the one that an earlier try of this request left behind, where it is `patient`.

    `given` is what makes requests equal; who doesn't wait at all takes no place. Raises what `Desk.accept` and
    `Shares.take` raise, and `Conflict` for a key whose job's answer wasn't kept.
    """
    serving, caller = service.current(), auth.caller()
    asked = Asked.of(caller, request.path, idempotency.fingerprint(given))
    if waits:
        serving.readers.take(caller.tenant_id)
    call = Call(serving, caller, asked, choices, patient, waits)
    try:
        call.job = _job(call, make, once)
    except BaseException:
        if waits:
            serving.readers.give_back(caller.tenant_id)
        raise
    requestlog.about_job(call.job.id)
    return call


def _job(call: Call, make: Make, once: IdempotencyClaim | None) -> JobView:
    """The job, and the register told who waits for it. One that was accepted before may be somebody else's answer: it
    is waited for, and not ended when this client leaves."""
    serving, replayed = call.serving, False
    job = _joined(serving, call.caller, call.asked) if call.patient else None
    if job is None:
        job, replayed = serving.desk.accept(call.caller, make, once)
    if replayed and job.status == Status.SUCCEEDED and job.result is None:
        raise errors.Conflict("what this key's job came to wasn't kept; ask with another key")
    if call.patient:
        note = serving.calls.keep if replayed else serving.calls.open
        note(call.asked, job.id)
        serving.forsaking.watch()
    return job


def _joined(serving: Service, caller: Caller, asked: Asked) -> JobView | None:
    """The job of an equal call whose client is gone; None unless the request says that it asks again."""
    if request.headers.get(RETRIES, "0").strip() in ("", "0"):
        return None
    serving.rest()
    job_id = serving.calls.join(asked, presence.has_left)
    if job_id is None:
        return None
    with suppress(errors.NotFound), serving.sessions.begin() as session:
        return jobs.get(session, caller, job_id)
    return None


def awaited(call: Call, wait_s: float) -> JobView:
    """The job when it has ended, or as it is after so many seconds, or when the client is gone."""
    if call.job.ended:
        return call.job
    call.serving.rest()
    last = call.serving.reader.wait_for_end(call.job.id, wait_s, call.gone)
    if last is not None:
        return LastStep.of(call.job, last).job
    with call.serving.sessions.begin() as session:
        return jobs.get(session, call.caller, call.job.id)


def ended(call: Call, wait_s: float) -> JobView:
    """The job as it ended, however that was. Raises `NotInTime` unless it has: it goes on for those who come back."""
    answered = False
    try:
        job = awaited(call, wait_s)
        answered = job.ended and not presence.has_left()
    finally:
        call.end(answered=answered)
    if not job.ended:
        raise errors.NotInTime("the job hasn't ended yet; ask again to go on waiting for it")
    return job


def known(job: JobView) -> Call:
    """A request for what happens to a job that is there, whoever waits for it. Raises what `Shares.take` raises."""
    serving, caller = service.current(), auth.caller()
    serving.readers.take(caller.tenant_id)
    asked = Asked.of(caller, request.path, b"")
    call = Call(serving, caller, asked, choices=0, patient=False, waits=True)
    call.job = job
    return call


def streamed(
    call: Call,
    rendering: Rendering,
    status: int = 200,
    *,
    opening: bytes = b"",
    steps: Callable[[Reader, Caller, JobView], Iterator[Step]] | None = None,
) -> Response:
    """The job's events as they come, after an `opening`; by `steps` where they are to be read in another way."""
    found = _steps(call) if steps is None else steps(call.serving.reader, call.caller, call.job)
    body = stream_with_context(_told(call, rendering, opening, found))
    response = Response(body, status, mimetype=rendering.mimetype, headers=sse.HEADERS)
    call.serving.rest()
    response.call_on_close(partial(call.end, answered=False))
    return response


def _told(call: Call, rendering: Rendering, opening: bytes, steps: Iterator[Step]) -> Iterator[bytes]:
    sent_at = time.monotonic()
    if opening:
        yield opening
    try:
        for choice, step in steps:
            piece = _piece(rendering, choice, step)
            if not piece and time.monotonic() - sent_at >= sse.HEARTBEAT_S:
                piece = rendering.waiting(None)
            if piece:
                yield piece
                sent_at = time.monotonic()
            if call.gone():
                return
        call.end(answered=True)
    except follow.Stopped:
        yield rendering.failed("server_shutting_down", "this process is about to end; ask again")
    except answering.StreamLost as error:
        yield rendering.failed(error.code, str(error))
    except (SQLAlchemyError, ForebayError) as error:
        log.warning("stream_interrupted", error=told(error))
        yield rendering.failed("stream_interrupted", "the stream broke off; ask again")


def _piece(rendering: Rendering, choice: int, step: StreamStep) -> bytes:
    if step is None:
        return b""
    if isinstance(step, Wait):
        return rendering.waiting(step)
    if isinstance(step, LastStep):
        return rendering.ended(step.job) if choice == WHOLE else rendering.choice_ended(choice, step.job)
    return rendering.event(choice, step.entry.event)


def _steps(call: Call) -> Iterator[Step]:
    return answering.steps(call.serving.reader, call.caller, call.job, call.choices)
