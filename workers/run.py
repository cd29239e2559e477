"""A job from its message to its end, step by step."""

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from db.session import told
from tasks import errors, failpoints, ids, telemetry
from tasks.jobs import attempts, fence, finishing
from tasks.jobs.attempts import Claim
from tasks.jobs.finishing import Finish
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.settlement import Closing
from tasks.jobs.view import JobView
from tasks.queues import window
from tasks.streams import stream
from tasks.streams.stream import Writer
from tasks.streams.transcript import Transcript
from tasks.telemetry import JobClaimed
from workers import patience
from workers.attempt import Attempt, Stop
from workers.publisher import Publisher
from workers.stages import STAGES
from workers.worker import Worker

log = structlog.get_logger(__name__)

_TAKE_OVERS = 3

T = TypeVar("T")


def run_in_turn(worker: Worker, named: uuid.UUID, *, itself: bool = False) -> tuple[uuid.UUID, JobView | None]:
    """Runs the job that a message names, or unless it is to be `itself` another line of its batch (`Groups`).

    Which one that was, and the job as its run ended it; None where it didn't.
    """
    if worker.groups is None or worker.draining.is_set() or worker.cut_off:
        return named, run(worker, named)
    try:
        job_id = worker.groups.enter(named, itself=itself)
    except SQLAlchemyError as error:
        log.warning("claim_failed", error=told(error), job_id=ids.show(named))
        return named, None
    try:
        if job_id != named:
            log.info("exchanged", job_id=ids.show(job_id), named=ids.show(named))
            worker.refiller.ask(worker.queue)
        return job_id, run(worker, job_id)
    finally:
        worker.groups.leave(job_id)


def run(worker: Worker, job_id: uuid.UUID) -> JobView | None:
    """Runs the job if it is to be had. Safe to call any number of times for the same job, also at once.

    The job as this run ended it; None where it didn't.
    """
    with bound_contextvars(job_id=ids.show(job_id), queue=worker.queue):
        if claim := take(worker, job_id):
            with bound_contextvars(attempt=claim.attempt):
                return run_claimed(worker, claim)
    return None


def take(worker: Worker, job_id: uuid.UUID) -> Claim | None:
    """Claims the job, unless the worker is going or can't tell whether its lease still holds.

    None also where PostgreSQL can't be reached: the sweep sends the job again.
    """
    if worker.draining.is_set() or worker.cut_off:
        return None
    try:
        claim = worker.claim(job_id)
    except SQLAlchemyError as error:
        log.warning("claim_failed", error=told(error))
        return None
    if claim is None:
        log.info("not_to_be_had")
    else:
        telemetry.emit(JobClaimed(job_id, claim.attempt, claim.stage, worker.queue, claim.waited_s))
    return claim


def run_claimed(worker: Worker, claim: Claim) -> JobView | None:
    """Runs an attempt from its claim to its end, whatever that is; the job, if that was the job's end."""
    failpoints.passed("worker.after_claim")
    attempt = Attempt(claim)
    worker.enter(attempt)
    try:
        if claim.others_wait:
            worker.refiller.ask(worker.queue)  # a claim makes room in the window
        publisher = open_stream(worker, attempt)
        ended = end(worker, attempt, publisher, produce(worker, attempt, publisher))
    finally:
        worker.leave(attempt, time.monotonic() - attempt.claimed_at)
    if claim.lane == "batch":
        worker.refiller.ask(worker.queue)  # and so does the end of batch work, of which only so much may move
    return ended


def open_stream(worker: Worker, attempt: Attempt) -> Publisher:
    """The attempt's publisher. A later attempt first reads where the earlier ones ended, and shuts them out."""
    claim, ttl_s = attempt.claim, worker.settings.shared.stream_ttl_s
    writer = Writer(worker.client, claim.job_id, claim.attempt, ttl_s)

    def newest() -> bool:
        with worker.sessions() as session:
            return not fence.lost_attempts(session, {claim.job_id: claim.attempt})

    if claim.attempt == 1:
        return Publisher(writer, attempt.transcript, newest, lambda: worker.cut_off)
    # Who handed the job on kept all of it; a worker that was lost, or cut off from PostgreSQL, may have streamed more.
    attempt.lost = writer.after_loss = claim.after_loss
    for _ in range(_TAKE_OVERS):
        try:
            attempt.lost = writer.after_loss = attempt.lost and not stream.is_whole(
                worker.client, claim.job_id, claim.begun_at_s
            )
            attempt.transcript = stream.take_over(writer, claim.checkpoint)
        except (redis.RedisError, ValueError, KeyError) as error:
            log.warning("stream_unreachable", error=str(error))
            time.sleep(worker.patience.pause_s)
        else:
            sent = len(attempt.transcript.entries)
            return Publisher(writer, attempt.transcript, newest, lambda: worker.cut_off, sent=sent)
    writer.anew = True  # what is there may go further than the checkpoint, from which this attempt goes on
    return Publisher(writer, attempt.transcript, newest, lambda: worker.cut_off)


def produce(worker: Worker, attempt: Attempt, publisher: Publisher) -> Outcome | Onward | None:
    """Runs the job's stage to an outcome; None when the attempt is over without one.

    A stage begins again when PostgreSQL was away: all that it writes may be repeated.
    """
    try:
        stage = partial(STAGES[attempt.claim.stage], worker.slot(), attempt, publisher)
        return worker.patience.keep_trying(stage, patience.PASSING, "stage_interrupted", attempt.check)
    except (errors.Cancelled, errors.Fenced):
        abandon(worker, attempt)
    except errors.EngineUnusable as error:
        log.error("engine_unusable", error=str(error))
        attempt.stop(Stop.DRAIN)
        worker.draining.set()
        worker.unusable.set()
        abandon(worker, attempt)
    except (errors.JobError, errors.EngineError) as error:
        return failed(attempt, error.code, str(error))
    except Exception as error:  # the run boundary: whatever went wrong, the job must reach an end
        log.exception("run_failed")
        return failed(attempt, errors.ForebayError.code, f"the worker failed: {type(error).__name__}")
    return None


def failed(attempt: Attempt, code: str, message: str) -> Outcome:
    """The outcome of an attempt that ends with an error, for what it had spent."""
    return Outcome(
        Status.FAILED,
        attempt.transcript.spent,
        error=(code, message.replace("\0", "")),  # PostgreSQL's text has no NUL; a template may quote one
        progress=attempt.progress,
    )


def end(worker: Worker, attempt: Attempt, publisher: Publisher, outcome: Outcome | Onward | None) -> JobView | None:
    """Ends the attempt as its outcome says; when that was the job's end, tells its readers and returns the job."""
    if isinstance(outcome, Onward):
        outcome = advance(worker, attempt, outcome)
    if outcome is None or retry_later(worker, attempt, outcome):
        return None
    if ended := finish(worker, attempt, outcome):
        failpoints.passed("worker.after_terminal_commit_before_done_event")
        announce(publisher, ended)
        failpoints.passed("worker.after_done_before_ack")
    return ended


def advance(worker: Worker, attempt: Attempt, onward: Onward) -> Outcome | None:
    """Queues the job's next stage, straight into its queue's window where that has room; a failure if it can't be."""
    claim, lease_s = attempt.claim, worker.settings.shared.lease_s

    def write(session: Session) -> Callable[[], None]:
        """What follows the commit: the job's own wake-up, or the next look at its window."""
        if not attempts.advance(session, claim.job_id, claim.attempt, attempt.transcript, onward):
            raise errors.Fenced(f"attempt {claim.attempt} is over")
        wake_up = window.admit(session, claim.job_id, onward.queue, onward.stage, claim.lane, lease_s)
        return partial(worker.refiller.deliver, onward.queue, wake_up)

    try:
        wake = persist(worker, attempt, write)
    except Exception as error:  # the run boundary is here too: nobody else would end the job
        log.exception("not_advanced")
        return failed(attempt, errors.ForebayError.code, f"the next stage was refused: {type(error).__name__}")
    if wake is None:
        abandon(worker, attempt)
        return None
    log.info("advanced", stage=onward.stage)
    wake()
    return None


def abandon(worker: Worker, attempt: Attempt) -> None:
    """The attempt stops without an outcome: somebody else ended it, or the job is handed back."""
    if attempt.stopped in (Stop.DRAIN, Stop.YIELD):
        release(worker, attempt)
    else:
        log.info("abandoned")


def release(worker: Worker, attempt: Attempt) -> None:
    """Puts the job back into its queue, by no fault of its own. Where that fails, the lease will run out."""
    claim = attempt.claim
    try:
        with worker.sessions.begin() as session:
            still_ours = attempts.release(session, claim.job_id, claim.attempt, attempt.transcript)
    except SQLAlchemyError as error:
        log.warning("not_released", error=told(error))
        return
    log.info("released", still_ours=still_ours)


def retry_later(worker: Worker, attempt: Attempt, outcome: Outcome) -> bool:
    """Schedules another attempt when this one failed by the system's fault and the job has a chance left.

    True when it did so, or when the attempt is over before; False also when PostgreSQL won't have it.
    """
    if outcome.error is None or outcome.error[0] not in errors.SYSTEM:
        return False
    claim, code = attempt.claim, outcome.error[0]

    def write(session: Session) -> bool:
        return attempts.retry_later(session, claim.job_id, claim.attempt, attempt.transcript, code)

    try:
        again = persist(worker, attempt, write)
    except Exception:  # then the job ends with the error that it has
        log.exception("not_retried")
        return False
    if again is None:
        abandon(worker, attempt)
        return True
    if again:
        log.warning("retried_later", error=code)
    return again


def finish(worker: Worker, attempt: Attempt, outcome: Outcome) -> JobView | None:
    """Writes the job's end, waiting for PostgreSQL as long as it takes; None when the attempt is over before.

    An end that can't be written, or that PostgreSQL won't have, is replaced by one without the result and the words,
    which says that they are lost: without an end its job would be claimed again and again, and no crash counted.
    """
    attempt.admit_loss()  # one that failed early has had no occasion
    try:
        ended = keep_trying(worker, attempt, partial(_written, worker, attempt, outcome))
    except Exception as error:  # the run boundary is here too
        log.exception("end_refused")
        code, message = errors.ForebayError.code, f"the end couldn't be written: {type(error).__name__}"
        known = outcome if isinstance(error, SQLAlchemyError | ValueError) else failed(attempt, code, message)
        attempt.transcript, attempt.lost = Transcript(), True
        attempt.admit_loss()
        outcome = replace(known, status=Status.FAILED, result=None, vectors=None, error=(code, message))
        ended = keep_trying(worker, attempt, partial(_written, worker, attempt, outcome))
    if ended is None:
        abandon(worker, attempt)
        return None
    telemetry.emit(ended.view.ended_fact())
    return ended.view


def _written(worker: Worker, attempt: Attempt, outcome: Outcome) -> Closing:
    """`_finish`, while no checkpoint of the attempt is written."""
    with attempt.writing:
        return _finish(worker, attempt, outcome)


def _finish(worker: Worker, attempt: Attempt, outcome: Outcome) -> Closing:
    """The job as this attempt ends it now, or as it did before when only the commit's answer was lost."""
    claim = attempt.claim
    end = Finish(claim.job_id, claim.attempt, attempt.transcript, outcome, attempt.first_token_s)
    failpoints.passed("worker.before_terminal_commit")
    closing = None if claim.told else worker.finish_untold(end)
    closing = closing or _finish_alone(worker, end)
    worker.go_on(closing)
    return closing


def _finish_alone(worker: Worker, end: Finish) -> Closing:
    with worker.sessions.begin() as session:
        try:
            return finishing.finish(session, end)
        except errors.Fenced:
            if found := finishing.end_of(session, end.job_id, end.attempt):
                return found
            raise


def persist(worker: Worker, attempt: Attempt, write: Callable[[Session], T]) -> T | None:
    """`keep_trying`, with a transaction of its own for each try."""

    def once() -> T:
        with worker.sessions.begin() as session:
            return write(session)

    return keep_trying(worker, attempt, once)


def keep_trying(worker: Worker, attempt: Attempt, write: Callable[[], T]) -> T | None:
    """What `write` returns, again and again until PostgreSQL takes it. None when the attempt is over before.

    Raises SQLAlchemy's errors when PostgreSQL was there and refused it too often.
    """
    try:
        return worker.patience.keep_trying(write, patience.ANY, "end_not_written_yet", attempt.check)
    except (errors.Fenced, errors.Cancelled):
        return None


def announce(publisher: Publisher, ended: JobView) -> None:
    """The stream's last event. Best effort: who misses it is told from PostgreSQL."""
    publisher.transcript.add(ended.end())
    try:
        publisher.flush()
    except (errors.Fenced, SQLAlchemyError) as error:
        log.warning("end_not_announced", error=told(error))
