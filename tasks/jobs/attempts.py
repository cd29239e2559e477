"""Attempts: claimed, kept, and each way one ends. No function commits; some say what follows the commit."""

import datetime as dt
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from sqlalchemy import case, func, literal, update
from sqlalchemy.orm import Session

from db import attempts, checkpoints, jobs, line
from db.attempts import JobAttempt
from db.jobs import Job, JobOutput
from db.session import Row, alone
from tasks import times
from tasks.jobs import family, fence, lifecycle
from tasks.jobs.jobs import stored_transcript
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward
from tasks.jobs.requests import Stored
from tasks.streams.transcript import Entry, Transcript
from tasks.times import Moment

FIRST_BACKOFF_S = 2.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker needs to run a stage of a job: `attempt` is its licence to write.

    `stage_input` is what an earlier stage left for this one. `others_wait` says that jobs waited for room in the queue
    when it was made, `told` that somebody beside the job's readers was to be told of its end then. `after_loss` says
    that the worker of an earlier attempt died or was silent, and may have streamed more than it kept.
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
    others_wait: bool = True
    told: bool = True
    after_loss: bool = False
    waited_s: float | None = None  # how long it could have been claimed before; of a first attempt only
    begun_at_s: float = 0.0  # when the first attempt was claimed, as Unix time


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
        " `taken` from one that was silent and came back; `handed_back` by a worker that went, or whose slot was"
        " wanted by an interactive job; `passed_on` to the next stage, or to go on later with the same. Null while it"
        " runs.",
    ]
    error_code: str | None


def claim(session: Session, job_ids: Sequence[uuid.UUID], *, queue: str, worker_id: str) -> list[Claim | None]:
    """Takes jobs for this worker, each under a new attempt number; None for one that isn't to be had (any more), or is
    too late. What several are asked for may be to be had by itself (`line.claim`).

    Committed when it returns, whatever becomes of the session. This one fenced update makes a message harmless that is
    delivered twice, late or after the end.
    """
    rows = line.claim(alone(session), job_ids, queue=queue, worker_id=worker_id)
    taken = {row["id"]: _claimed(row) for row in rows}
    return [taken.pop(job_id, None) for job_id in job_ids]  # a job that is named twice is had once


def _claimed(row: Row) -> Claim:
    return Claim(
        job_id=row["id"],
        tenant_id=row["tenant_id"],
        type=row["type"],
        stage=row["stage"],
        model=row["model"],
        lane=row["lane"],
        attempt=row["attempt"],
        crashes=row["crashes"],
        seed=row["seed"],
        asked=Stored(row["input"], row["params"]),
        stage_input=row["stage_input"],
        checkpoint=_checkpoint(row),
        others_wait=row["waits"],
        told=row["told"],
        after_loss=bool(row["after_loss"]),
        waited_s=_waited_s(row),
        begun_at_s=row["started_at"].timestamp(),
    )


def _checkpoint(row: Row) -> Transcript:
    handed_on = row["entries"] is not None
    output = JobOutput(entries=row["entries"], token_ids=row["token_ids"]) if handed_on else None
    return stored_transcript(output, row["pieces"])


def _waited_s(row: Row) -> float | None:
    if row["attempt"] > 1:
        return None
    waited: dt.timedelta = row["started_at"] - max(row["created_at"], row["due_at"] or row["created_at"])
    return waited.total_seconds()


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
    values |= _first_token(first_token_s)
    if fence.touch(session, job_id, attempt, **values) and news:
        checkpoints.keep(session, job_id, news[0].seq, [entry.plain() for entry in news])


def advance(session: Session, job_id: uuid.UUID, attempt: int, so_far: Transcript, onward: Onward) -> bool:
    """Puts a running job into the queue of its next stage, or lets it wait before: for its children, or for a while.

    False when the attempt may not write any more.
    The next stage may be the same one, of which a part is done: then the crashes still count, unless it waits for
    children, which others run meanwhile. After the commit, a refill for `onward.queue`.
    """
    same = literal(not onward.wait_for_children) & (Job.stage == onward.stage)
    crashes = case((same, Job.crashes), else_=0)
    values: dict[str, Any] = {"stage": onward.stage, "queue": onward.queue, "worker_id": None, "crashes": crashes}
    values |= {"stage_input": onward.stage_input, **fence.added(onward.spent)}
    target = Status.WAITING if onward.wait_for_children else Status.QUEUED
    if onward.after_s:
        target = Status.SCHEDULED
        values["due_at"] = func.clock_timestamp() + dt.timedelta(seconds=onward.after_s)
    if not lifecycle.leave(session, target, "passed_on", *fence.running(job_id, attempt), **values):
        return False
    entries, token_ids = so_far.stored()
    jobs.save_output(session, job_id, entries=entries, token_ids=token_ids)
    if onward.wait_for_children:
        family.move_on(session, [job_id])
    return True


def release(session: Session, job_id: uuid.UUID, attempt: int, so_far: Transcript) -> bool:
    """Returns a running job to the queue in good order, which counts as no crash. False when it isn't ours any more."""
    if not _hand_back(session, job_id, attempt):
        return False
    entries, token_ids = so_far.stored()
    jobs.save_output(session, job_id, entries=entries, token_ids=token_ids)
    return True


def release_unheld(session: Session, job_id: uuid.UUID, attempt: int) -> None:
    """Returns a job that its worker doesn't hold to the queue: no crash is counted. Does nothing if it has moved."""
    _hand_back(session, job_id, attempt)


def _hand_back(session: Session, job_id: uuid.UUID, attempt: int) -> bool:
    mine = fence.running(job_id, attempt)
    return bool(lifecycle.leave(session, Status.QUEUED, "handed_back", *mine, worker_id=None))


def retry_later(session: Session, job_id: uuid.UUID, attempt: int, so_far: Transcript, error_code: str) -> bool:
    """Schedules another attempt after one that failed by the system's fault. False when the job may have no more.

    Raises `Fenced`.
    """
    fence.guard(session, job_id, attempt)
    failures = attempts.count(session, job_id, "failed") + 1
    due_at = func.clock_timestamp() + dt.timedelta(seconds=backoff_s(failures))
    where = (*fence.fenced(job_id, attempt), Job.chances > failures)
    values = {"worker_id": None, "due_at": due_at}
    if not lifecycle.leave(session, Status.SCHEDULED, "failed", *where, code=error_code, **values):
        return False
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


def _first_token(after_s: float | None) -> dict[str, Any]:
    """The values by which a job's row has the moment of its first token, unless it is known."""
    if after_s is None:
        return {}
    at = Job.attempt_started_at + dt.timedelta(seconds=after_s)
    return {"first_token_at": func.coalesce(Job.first_token_at, at)}


def backoff_s(failures: int) -> float:
    """Seconds to wait after so many failures: twice as long each time, spread so that not all come back at once."""
    return float(FIRST_BACKOFF_S * 2 ** (failures - 1)) * random.uniform(1, 2)  # noqa: S311 nothing secret


def shown(session: Session, job_id: uuid.UUID) -> list[AttemptObject]:
    """The job's attempts as clients see them, the first first, the last one perhaps running."""
    job = session.get_one(Job, job_id, populate_existing=True)
    told = list(attempts.of_job(session, job_id))
    runs = attempts.of_row(job) if job.status == Status.RUNNING else None
    if runs and all(row.number != runs.number for row in told):  # it may have ended between the two looks
        told.append(runs)
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
        for row in told
    ]
