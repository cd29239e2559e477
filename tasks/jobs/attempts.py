"""Attempts: claimed, kept, and each way one ends. No function commits; some say what follows the commit."""

import datetime as dt
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from db import attempts, checkpoints, jobs
from db.attempts import JobAttempt
from db.jobs import Job, JobInput, JobOutput
from tasks import errors, ids, times
from tasks.jobs import family, fence, lifecycle, settlement, view
from tasks.jobs.jobs import stored_transcript
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.requests import Stored
from tasks.jobs.settlement import Closing, End
from tasks.streams.transcript import Entry, Transcript
from tasks.times import Moment

FIRST_BACKOFF_S = 2.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker needs to run a stage of a job: `attempt` is its licence to write.

    `stage_input` is what an earlier stage left for this one.
    """

    job_id: uuid.UUID
    tenant_id: uuid.UUID
    type: str
    stage: str
    model: str
    lane: str
    attempt: int
    crashes: int
    seed: int
    asked: Stored
    stage_input: dict[str, Any] | None
    checkpoint: Transcript
    waited_s: float | None = None  # how long it could have been claimed before; of a first attempt only


class AttemptObject(TypedDict):
    """One run of the job by one worker."""

    number: int
    worker: str
    model: str
    stage: str
    started_at: Annotated[Moment, "When it was claimed."]
    ended_at: Annotated[Moment | None, "When it ended, or was found to have."]
    how: Annotated[
        str | None,
        "`succeeded`, `failed` (another follows where the fault is the system's), `cancelled`; `lost` with its worker;"
        " `taken` from one that was silent and came back; `handed_back` by a worker that went; `passed_on` to the next"
        " stage, or to go on later with the same. Null while it runs.",
    ]
    error_code: str | None


def claim(session: Session, job_id: uuid.UUID, *, queue: str, worker_id: str) -> Claim | None:
    """Takes the job for this worker under a new attempt number; None when it isn't to be had (any more), or too late.

    This one fenced update makes a message harmless that is delivered twice, late or after the end. A worker gets no
    job that its next crash would end as poison while it runs another such job: a crash must show which it was
    (docs/adr/0006).
    """
    taken = lifecycle.move(
        session,
        Status.RUNNING,
        Job.id == job_id,
        Job.queue == queue,
        jobs.may_start(),
        attempts.may_be_tried(worker_id),
        attempt=Job.attempt + 1,
        worker_id=worker_id,
        started_at=func.coalesce(Job.started_at, func.clock_timestamp()),
    )
    if not taken:
        return None
    job = taken[0]
    given, output, pieces = attempts.begin(
        session, job.id, job.attempt, worker_id=worker_id, model=queue, stage=job.stage
    )
    return Claim(
        job_id=job.id,
        tenant_id=job.tenant_id,
        type=job.type,
        stage=job.stage,
        model=job.model,
        lane=job.lane,
        attempt=job.attempt,
        crashes=job.crashes,
        seed=job.seed,
        asked=Stored(given.input, given.params),
        stage_input=given.stage_input,
        checkpoint=stored_transcript(output, pieces),
        waited_s=_waited_s(job),
    )


def _waited_s(job: Job) -> float | None:
    if job.attempt > 1 or job.started_at is None:
        return None
    return (job.started_at - max(job.created_at, job.due_at or job.created_at)).total_seconds()


def checkpoint(
    session: Session,
    job_id: uuid.UUID,
    attempt: int,
    news: Sequence[Entry],
    progress: tuple[int, int],
    *,
    cleared: bool = False,
    first_token_s: float | None = None,
) -> None:
    """Keeps entries that a running attempt has streamed. Does nothing when the attempt is no longer the newest.

    They take the place of all that was kept from the first one's number on, by this attempt or an older one: so an
    attempt begins with all its entries, and goes on with those that came since.

    `cleared` says that it has come past where earlier ones crashed: then their crashes were not its fault.
    `first_token_s` is when after the attempt's beginning the answer's first token came, where it came in this one.
    """
    done, total = progress
    values = {"progress_done": done, "progress_total": total, **({"crashes": 0} if cleared else {})}
    values |= _first_token(job_id, attempt, first_token_s)
    if fence.touch(session, job_id, attempt, **values) and news:
        checkpoints.keep(session, job_id, news[0].seq, [entry.plain() for entry in news])


def finish(
    session: Session,
    job_id: uuid.UUID,
    attempt: int,
    so_far: Transcript,
    outcome: Outcome,
    *,
    first_token_s: float | None = None,
) -> Closing:
    """Writes the end of an attempt, with what it spent. `first_token_s` as for `checkpoint`.

    Raises `Fenced` when the attempt may not write any more.
    """
    code, message = outcome.error or (None, None)
    done, total = outcome.progress or (outcome.spent.prompt, outcome.spent.prompt)
    ended = lifecycle.move(
        session,
        outcome.status,
        *fence.fenced(job_id, attempt),
        finished_at=func.clock_timestamp(),
        progress_done=done,
        progress_total=total,
        error_code=code,
        error_message=message,
        **fence.added(outcome.spent),
        **_first_token(job_id, attempt, first_token_s),
    )
    if not ended:
        raise errors.Fenced(f"attempt {attempt} of {ids.show(job_id)} is over")
    attempts.end(session, job_id, attempt, outcome.status, code)
    [closing] = settlement.conclude(session, [End(ended[0], so_far, outcome.result, outcome.vectors)])
    return closing


def advance(session: Session, job_id: uuid.UUID, attempt: int, so_far: Transcript, onward: Onward) -> bool:
    """Puts a running job into the queue of its next stage, or lets it wait for its children before.

    False when the attempt may not write any more.
    The next stage may be the same one, of which a part is done: then the crashes still count. After the commit, a
    refill for `onward.queue`.
    """
    crashes = case((Job.stage == onward.stage, Job.crashes), else_=0)
    values: dict[str, Any] = {"stage": onward.stage, "queue": onward.queue, "worker_id": None, "crashes": crashes}
    values |= fence.added(onward.spent)
    target = Status.WAITING if onward.wait_for_children else Status.QUEUED
    if not lifecycle.move(session, target, *fence.running(job_id, attempt), **values):
        return False
    attempts.end(session, job_id, attempt, "passed_on")
    entries, token_ids = so_far.stored()
    jobs.save_output(session, job_id, entries=entries, token_ids=token_ids)
    session.execute(update(JobInput).where(JobInput.job_id == job_id).values(stage_input=onward.stage_input))
    if onward.wait_for_children:
        family.move_on(session, [job_id])
    return True


def release(session: Session, job_id: uuid.UUID, attempt: int, so_far: Transcript) -> bool:
    """Returns a running job to the queue in good order, which counts as no crash. False when it isn't ours any more."""
    if not lifecycle.move(session, Status.QUEUED, *fence.running(job_id, attempt), worker_id=None):
        return False
    attempts.end(session, job_id, attempt, "handed_back")
    entries, token_ids = so_far.stored()
    jobs.save_output(session, job_id, entries=entries, token_ids=token_ids)
    return True


def release_unheld(session: Session, job_id: uuid.UUID, attempt: int) -> None:
    """Returns a job that its worker doesn't hold to the queue: no crash is counted. Does nothing if it has moved."""
    if lifecycle.move(session, Status.QUEUED, *fence.running(job_id, attempt), worker_id=None):
        attempts.end(session, job_id, attempt, "handed_back")


def retry_later(session: Session, job_id: uuid.UUID, attempt: int, so_far: Transcript, error_code: str) -> bool:
    """Schedules another attempt after one that failed by the system's fault. False when the job may have no more.

    Raises `Fenced`.
    """
    fence.guard(session, job_id, attempt)
    failures = attempts.count(session, job_id, "failed") + 1
    due_at = func.clock_timestamp() + dt.timedelta(seconds=backoff_s(failures))
    where = (*fence.fenced(job_id, attempt), Job.chances > failures)
    if not lifecycle.move(session, Status.SCHEDULED, *where, worker_id=None, due_at=due_at):
        return False
    attempts.end(session, job_id, attempt, "failed", error_code)
    entries, token_ids = so_far.stored()
    jobs.save_output(session, job_id, entries=entries, token_ids=token_ids)
    return True


def forgive(session: Session, worker_id: str) -> int:
    """Takes back the crashes counted against the jobs of a worker that was only silent. Returns how many jobs.

    Idempotent: its attempts that were `lost` are `taken` from then on.
    """
    mine = update(JobAttempt).where(JobAttempt.worker_id == worker_id, JobAttempt.how == "lost")
    taken = session.scalars(mine.values(how="taken").returning(JobAttempt.job_id)).all()
    counted = update(Job).where(Job.id.in_(taken), Job.crashes > 0, Job.finished_at.is_(None))
    session.execute(counted.values(crashes=Job.crashes - 1), execution_options={"synchronize_session": False})
    return len(taken)


def end_of(session: Session, job_id: uuid.UUID, attempt: int) -> Closing | None:
    """The ended job, if this attempt ended it: asked after a commit whose answer was lost.

    Cancel, expiry and deadline end a job under the next attempt number, so they never match (docs/adr/0010).
    """
    query = select(Job, JobOutput).outerjoin(JobOutput, JobOutput.job_id == Job.id)
    row = session.execute(query.where(*fence.fenced(job_id, attempt))).one_or_none()
    if row is None or row[0].status not in lifecycle.TERMINAL:
        return None
    return Closing(view.with_output(row[0], row[1]), len(stored_transcript(row[1]).entries))


def _first_token(job_id: uuid.UUID, attempt: int, after_s: float | None) -> dict[str, Any]:
    """The values by which a job's row has the moment of its first token, unless it is known."""
    if after_s is None:
        return {}
    began_at = select(JobAttempt.started_at).where(JobAttempt.job_id == job_id, JobAttempt.number == attempt)
    at = began_at.scalar_subquery() + dt.timedelta(seconds=after_s)
    return {"first_token_at": func.coalesce(Job.first_token_at, at)}


def backoff_s(failures: int) -> float:
    """Seconds to wait after so many failures: twice as long each time, spread so that not all come back at once."""
    return float(FIRST_BACKOFF_S * 2 ** (failures - 1)) * random.uniform(1, 2)  # noqa: S311 nothing secret


def shown(session: Session, job_id: uuid.UUID) -> list[AttemptObject]:
    """The job's attempts as clients see them, the first first."""
    return [
        {
            "number": row.number,
            "worker": row.worker_id,
            "model": row.model,
            "stage": row.stage,
            "started_at": times.show(row.started_at),
            "ended_at": times.show(row.ended_at),
            "how": row.how,
            "error_code": row.error_code,
        }
        for row in attempts.of_job(session, job_id)
    ]
