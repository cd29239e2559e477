"""A job from its message to its end, step by step."""

import time
import uuid
from collections.abc import Callable
from dataclasses import replace

import redis
import structlog
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tasks import errors, failpoints
from tasks.jobs import attempts, fence, stages
from tasks.jobs.attempts import Claim
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.view import JobView
from tasks.queues import window
from tasks.queues.window import Ticket
from tasks.streams import stream
from tasks.streams.stream import Writer
from tasks.streams.transcript import Transcript
from workers.attempt import Attempt, Stop
from workers.publisher import Pen
from workers.stages import embedding, ingestion
from workers.stages.generation import Generation
from workers.worker import Worker

log = structlog.get_logger(__name__)

_PATIENCE_S = 0.5
_REFUSALS_ALLOWED = 5
_TAKE_OVERS = 3
_AWAY = ("08", "57P")  # PostgreSQL's classes of errors: lost connections, a server that stops or starts


def run(worker: Worker, job_id: uuid.UUID) -> None:
    """Runs the job if it is to be had. Safe to call any number of times for the same job, also at once.

    Raises SQLAlchemy's errors when PostgreSQL can't be reached for the claim: the sweep sends the job again.
    """
    claim = take(worker, job_id)
    if claim is None:
        return
    failpoints.passed("worker.after_claim")
    attempt = Attempt(claim)
    worker.enter(attempt)
    began_at = time.monotonic()
    try:
        worker.refiller.ask(worker.model)  # a claim makes room in the window
        pen = open_stream(worker, attempt)
        outcome = produce(worker, attempt, pen)
        if isinstance(outcome, Onward):
            outcome = pass_on(worker, attempt, outcome)
        if outcome and not put_off(worker, attempt, outcome) and (ended := settle(worker, attempt, outcome)):
            failpoints.passed("worker.after_terminal_commit_before_done_event")
            announce(pen, ended)
            failpoints.passed("worker.after_done_before_ack")
    finally:
        worker.leave(attempt, time.monotonic() - began_at)
    if claim.lane == "batch":
        worker.refiller.ask(worker.model)  # and so does the end of batch work, of which only so much may move


def take(worker: Worker, job_id: uuid.UUID) -> Claim | None:
    """Claims the job, unless the worker is going or can't tell whether its lease still holds."""
    if worker.draining.is_set() or worker.cut_off:
        return None
    with worker.sessions.begin() as session:
        claim = attempts.claim(session, job_id, queue=worker.model, worker_id=worker.id)
    log.info("claimed" if claim else "not_to_be_had", job_id=str(job_id), attempt=claim and claim.attempt)
    return claim


def open_stream(worker: Worker, attempt: Attempt) -> Pen:
    """The attempt's pen. A later attempt first reads where the earlier ones ended, and shuts them out."""
    claim, ttl_s = attempt.claim, worker.settings.shared.stream_ttl_s
    writer = Writer(worker.client, claim.job_id, claim.attempt, ttl_s)

    def newest() -> bool:
        with worker.sessions() as session:
            return not fence.lost_attempts(session, {claim.job_id: claim.attempt})

    if claim.attempt == 1:
        return Pen(writer, attempt.transcript, newest, lambda: worker.cut_off)
    for _ in range(_TAKE_OVERS):
        try:
            attempt.transcript = stream.take_over(writer, claim.checkpoint)
        except (redis.RedisError, ValueError, KeyError) as error:
            log.warning("stream_unreachable", job_id=str(claim.job_id), error=str(error))
            time.sleep(_PATIENCE_S)
        else:
            return Pen(writer, attempt.transcript, newest, lambda: worker.cut_off, sent=len(attempt.transcript.entries))
    writer.anew = True  # what is there may go further than the checkpoint, from which this attempt goes on
    return Pen(writer, attempt.transcript, newest, lambda: worker.cut_off)


def produce(worker: Worker, attempt: Attempt, pen: Pen) -> Outcome | Onward | None:
    """Runs the job's stage to an outcome; None when the attempt is over without one."""
    try:
        return patiently(attempt, lambda: _STAGES[attempt.claim.stage](worker, attempt, pen))
    except (errors.Cancelled, errors.Fenced):
        drop(worker, attempt)
    except errors.EngineUnusable as error:
        log.error("engine_unusable", error=str(error))
        attempt.stop(Stop.DRAIN)
        worker.draining.set()
        worker.unusable.set()
        drop(worker, attempt)
    except (errors.JobError, errors.EngineError) as error:
        return failed(attempt, error.code, str(error))
    except Exception as error:  # the run boundary: whatever went wrong, the job must reach an end
        log.exception("run_failed", job_id=str(attempt.claim.job_id))
        return failed(attempt, errors.ForebayError.code, f"the worker failed: {type(error).__name__}")
    return None


def patiently(attempt: Attempt, stage: Callable[[], Outcome | Onward]) -> Outcome | Onward:
    """Runs the stage, from its beginning again when PostgreSQL was out of reach: all that it writes may be repeated.

    Waits for PostgreSQL as long as it takes, but only so often for a statement that it answered with an error.
    """
    refusals = 0
    while True:
        try:
            return stage()
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            refusals += refused(error)
            if refusals > _REFUSALS_ALLOWED:
                raise
            log.warning("stage_interrupted", job_id=str(attempt.claim.job_id), kind=type(error).__name__)
        attempt.check()
        time.sleep(_PATIENCE_S)


def refused(error: SQLAlchemyError) -> bool:
    """Whether PostgreSQL is there and answered the statement with an error."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return bool(state) and not state.startswith(_AWAY)


def failed(attempt: Attempt, code: str, message: str) -> Outcome:
    """The outcome of an attempt that ends with an error, for what it had spent."""
    spent = attempt.transcript
    return Outcome(
        Status.FAILED,
        spent.prompt_tokens,
        spent.completion_tokens,
        error=(code, message),
        progress=attempt.progress,
    )


def generate(worker: Worker, attempt: Attempt, pen: Pen) -> Outcome:
    """An answer, to its end."""
    ending = Generation(attempt, pen, worker.loaded, worker.quarantine, worker.id, worker.settings.stall_s).run()
    text = attempt.transcript.text
    answer = {"message": {"role": "assistant", "content": text}} if attempt.claim.type == "chat" else {"text": text}
    result = {**answer, "finish_reason": ending.reason}
    if attempt.claim.type == stages.RAG:
        result["passages"] = attempt.transcript.passages
    return Outcome(Status.SUCCEEDED, ending.prompt_tokens, ending.completion_tokens, result)


_STAGES: dict[str, Callable[[Worker, Attempt, Pen], Outcome | Onward]] = {
    stages.GENERATE: generate,
    stages.EMBED: embedding.embed,
    stages.EMBED_MANY: embedding.embed,
    stages.EXTRACT: ingestion.extract,
    stages.EMBED_DOCUMENTS: embedding.embed_documents,
    stages.RETRIEVE: embedding.retrieve,
}


def pass_on(worker: Worker, attempt: Attempt, onward: Onward) -> Outcome | None:
    """Queues the job's next stage, straight into its model's window where that has room; a failure if it can't be."""
    claim, lease_s = attempt.claim, worker.settings.shared.lease_s
    ticket: Ticket | None = None

    def write() -> None:
        nonlocal ticket
        with worker.sessions.begin() as session:
            if not attempts.advance(session, claim.job_id, claim.attempt, attempt.transcript, onward):
                raise errors.Fenced(f"attempt {claim.attempt} is over")
            ticket = window.admit(session, claim.job_id, onward.queue, claim.lane, lease_s)

    try:
        written = persist(attempt, write)
    except SQLAlchemyError as error:
        log.exception("not_passed_on", job_id=str(claim.job_id))
        return failed(attempt, errors.ForebayError.code, f"the next stage was refused: {type(error).__name__}")
    if not written:
        drop(worker, attempt)
        return None
    log.info("passed_on", job_id=str(claim.job_id), attempt=claim.attempt, stage=onward.stage)
    if ticket:
        worker.refiller.send(ticket)
    else:
        worker.refiller.ask(onward.queue)
    return None


def drop(worker: Worker, attempt: Attempt) -> None:
    """The attempt stops without an outcome: it hands the job back when the worker is going, else it just ends."""
    claim = attempt.claim
    if attempt.stopped is not Stop.DRAIN:
        log.info("dropped", job_id=str(claim.job_id), attempt=claim.attempt)
        return
    try:
        with worker.sessions.begin() as session:
            handed_back = attempts.release(session, claim.job_id, claim.attempt, attempt.transcript)
    except SQLAlchemyError as error:
        log.warning("not_handed_back", job_id=str(claim.job_id), error=str(error))  # the lease will run out
        return
    log.info("handed_back", job_id=str(claim.job_id), attempt=claim.attempt, still_ours=handed_back)


def put_off(worker: Worker, attempt: Attempt, outcome: Outcome) -> bool:
    """Schedules another attempt when this one failed by the system's fault and the job has a chance left.

    True when it did so, or when the attempt is over before; False also when PostgreSQL won't have it.
    """
    if outcome.error is None or outcome.error[0] not in errors.SYSTEM:
        return False
    claim, code, again = attempt.claim, outcome.error[0], False

    def write() -> None:
        nonlocal again
        with worker.sessions.begin() as session:
            again = attempts.retry_later(session, claim.job_id, claim.attempt, attempt.transcript, code)

    try:
        written = persist(attempt, write)
    except SQLAlchemyError:
        log.exception("not_put_off", job_id=str(claim.job_id))
        return False
    if not written:
        drop(worker, attempt)
        return True
    if again:
        log.warning("put_off", job_id=str(claim.job_id), attempt=claim.attempt, error=code)
    return again


def settle(worker: Worker, attempt: Attempt, outcome: Outcome) -> JobView | None:
    """Writes the end down, waiting for PostgreSQL as long as it takes; None when the attempt is over before.

    An end that PostgreSQL won't have is replaced by one without the result and the words, which it will.
    """
    try:
        return write_end(worker, attempt, outcome)
    except SQLAlchemyError as error:
        log.exception("end_refused", job_id=str(attempt.claim.job_id))
        attempt.transcript = Transcript()
        code, message = errors.ForebayError.code, f"the end couldn't be written: {type(error).__name__}"
        bare = replace(outcome, status=Status.FAILED, result=None, vectors=None, error=(code, message))
        return write_end(worker, attempt, bare)


def write_end(worker: Worker, attempt: Attempt, outcome: Outcome) -> JobView | None:
    """The same. Raises SQLAlchemy's errors when PostgreSQL refuses it again and again."""
    claim = attempt.claim
    record: JobView | None = None

    def write() -> None:
        nonlocal record
        with worker.sessions.begin() as session:
            try:
                record = attempts.finish(session, claim.job_id, claim.attempt, attempt.transcript, outcome)
            except errors.Fenced:
                # It may be our own end, of which the answer was lost with the connection.
                record = attempts.end_of(session, claim.job_id, claim.attempt)
                if record is None:
                    raise
            failpoints.passed("worker.before_terminal_commit")

    if not persist(attempt, write):
        drop(worker, attempt)
        return None
    log.info("ended", job_id=str(claim.job_id), attempt=claim.attempt, status=outcome.status)
    return record


def persist(attempt: Attempt, write: Callable[[], None]) -> bool:
    """Writes, again and again until PostgreSQL takes it. False when the attempt is over before.

    Raises SQLAlchemy's errors when PostgreSQL was there and refused it too often.
    """
    refusals = 0
    while True:
        try:
            write()
        except errors.Fenced:
            return False
        except SQLAlchemyError as error:
            log.warning("end_not_written_yet", job_id=str(attempt.claim.job_id), error=str(error))
            refusals += refused(error)
            if attempt.stopped:
                return False
            if refusals > _REFUSALS_ALLOWED:
                raise
            time.sleep(_PATIENCE_S)
        else:
            return True


def announce(pen: Pen, ended: JobView) -> None:
    """The stream's last event, with the job. Best effort: who misses it is told from PostgreSQL."""
    pen.transcript.add(ended.end())
    try:
        pen.flush()
    except (errors.Fenced, SQLAlchemyError) as error:
        log.warning("end_not_announced", job_id=str(ended.id), error=str(error))
