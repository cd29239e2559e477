"""What can be done with a job. Every function takes a session and never commits; some say what follows the commit."""

import datetime as dt
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import case, func, update
from sqlalchemy.orm import Session

from db import attempts, jobs, turns, usage, vectors, workers
from db.jobs import Job, JobInput, JobOutput
from tasks import errors, ids
from tasks.jobs import lifecycle, timing, view
from tasks.jobs.lifecycle import Status
from tasks.jobs.timing import ANY_TIME, Timing
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.kinds import stages
from tasks.models import catalog
from tasks.models.catalog import Catalog, Model
from tasks.models.engine import Params
from tasks.streams import transcript
from tasks.streams.transcript import Transcript
from tasks.webhooks import deliveries

POSITION_CAP = 1000  # a position is counted to here: "1000" means a thousand or more

# How a job is sampled where the client doesn't say.
DEFAULTS = {"temperature": 0.8, "top_p": 0.95, "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.0}

# No vocabulary we know has a token of more bytes than this, so a prompt of more than context times as many can't fit.
_TOKEN_BYTES = 64


@dataclass(frozen=True, slots=True)
class Submission:
    """What a client asks for, its shape already checked. `model` None takes the catalogue's default for the type.

    `webhook` is where this job's end is to be told: `url`, checked, and `events`.
    """

    type: str
    model: str | None
    input: Mapping[str, Any]
    params: Mapping[str, Any]
    lane: str
    priority: int
    metadata: Mapping[str, str]
    timing: Timing = ANY_TIME
    webhook: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A job as it is to be written down: its first stage, the model that runs it, and the model clients see."""

    type: str
    stage: str
    model: str
    shown_model: str
    input: Mapping[str, Any]
    params: Mapping[str, Any]
    lane: str
    priority: int
    metadata: Mapping[str, str]
    timing: Timing = ANY_TIME
    webhook: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker needs to run a stage of a job: `attempt` is its licence to write.

    `handed` is what an earlier stage left for this one.
    """

    job_id: uuid.UUID
    tenant_id: uuid.UUID
    type: str
    stage: str
    shown_model: str
    lane: str
    attempt: int
    crashes: int
    seed: int
    input: dict[str, Any]
    params: dict[str, Any]
    handed: dict[str, Any] | None
    checkpoint: Transcript


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: with a result, or with an error. `vectors` (n, d) are a result kept beside the others.

    `progress` is how much was done, of how much; the prompt's tokens where it isn't given.
    """

    status: Status
    prompt_tokens: int
    completion_tokens: int
    result: dict[str, Any] | None = None
    error: tuple[str, str] | None = None
    progress: tuple[int, int] | None = None
    vectors: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Onward:
    """How an attempt ended that was not the job's last: the next stage, where, and what it is handed."""

    stage: str
    model: str
    handed: dict[str, Any] | None = None
    embedding_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A waiting job's position: how many go before it, and the seconds until it starts where speed is known."""

    position: int
    estimated_start_s: float | None


def submit(session: Session, models: Catalog, caller: Caller, submission: Submission) -> JobView:
    """Accepts a job that one model serves. See `insert` for what follows.

    Raises `ModelUnknown`, `PromptTooLong`, and `InvalidField` for its times.
    """
    model = model_for(models, submission.type, submission.model)
    _refuse_what_cannot_fit(model, submission.input)
    return insert(
        session, caller, planned(submission, stages.first(submission.type, submission.input), model.name, model.name)
    )


def planned(submission: Submission, stage: str, model: str, shown_model: str) -> Plan:
    """The plan of a submission that begins with this stage on this model."""
    return Plan(
        type=submission.type,
        stage=stage,
        model=model,
        shown_model=shown_model,
        input=submission.input,
        params=submission.params,
        lane=submission.lane,
        priority=submission.priority,
        metadata=submission.metadata,
        timing=submission.timing,
        webhook=submission.webhook,
    )


def insert(session: Session, caller: Caller, plan: Plan, job_id: uuid.UUID | None = None) -> JobView:
    """Writes the job down, under `job_id` where one was drawn before: once committed it is never lost.

    After the commit, a refill for `record.queue`. Raises `InvalidField` for its times.
    """
    times = timing.settled(session, plan.timing)
    job = Job(
        id=job_id or ids.new(),
        tenant_id=caller.tenant_id,
        type=plan.type,
        stage=plan.stage,
        model=plan.model,
        shown_model=plan.shown_model,
        status=Status.SCHEDULED if times.run_at else Status.QUEUED,
        lane=plan.lane,
        priority=plan.priority,
        attempt=0,
        # Drawn now and kept, so that a run can be repeated to the letter.
        seed=plan.params.get("seed", secrets.randbelow(2**31)),
        labels=dict(plan.metadata),
        webhook=dict(plan.webhook) if plan.webhook else None,
        created_at=dt.datetime.now(dt.UTC),
        run_at=times.run_at,
        due_at=times.run_at,
        expires_at=times.expires_at,
        deadline_s=times.deadline_s,
    )
    session.add(job)
    session.flush()
    session.add(JobInput(job_id=job.id, input=dict(plan.input), params=dict(plan.params)))
    session.flush()
    return view.of(job, None)


def get(session: Session, caller: Caller, job_id: uuid.UUID) -> JobView:
    """The tenant's job as it is now. Raises `NotFound`, for another tenant's too."""
    return view.with_output(*find(session, caller, job_id))


def find(session: Session, caller: Caller, job_id: uuid.UUID) -> tuple[Job, JobOutput | None]:
    """The tenant's job and its output. Raises `NotFound`, for another tenant's too."""
    found = jobs.of_tenant(session, caller.tenant_id, job_id)
    if found is None:
        raise errors.NotFound(f"no job {ids.show(job_id)}")
    return found


def page(
    session: Session,
    caller: Caller,
    *,
    limit: int,
    before: uuid.UUID | None = None,
    status: str | None = None,
    type: str | None = None,
    model: str | None = None,
    since: dt.datetime | None = None,
) -> tuple[list[JobView], bool]:
    """The tenant's jobs, newest first, at most `limit` of those older than `before`; True when there are more.

    `status` is one that clients are shown: `queued` covers the jobs that have been dispatched.
    """
    statuses = tuple(own for own in Status if lifecycle.shown(own) == status) if status else None
    filters: Any = {"statuses": statuses, "type": type, "model": model, "since": since}
    found = jobs.page(session, caller.tenant_id, limit=limit + 1, before=before, **filters)
    return [view.with_output(job, output) for job, output in found[:limit]], len(found) > limit


def wait(session: Session, job_id: uuid.UUID, lease_s: float) -> Wait | None:
    """Where a waiting job stands now; None when it doesn't wait for its turn."""
    job = session.get(Job, job_id)
    if job is None or job.status not in (Status.QUEUED, Status.DISPATCHED):
        return None
    position = turns.ahead(session, job, POSITION_CAP)
    strength = workers.strength(session, job.model, lease_s)
    if not strength.slots or strength.job_s is None:
        return Wait(position, None)
    rounds = max(0, position - strength.free + 1) / strength.slots
    return Wait(position, round(rounds * strength.job_s, 1))


def claim(session: Session, job_id: uuid.UUID, *, model: str, worker_id: str) -> Claim | None:
    """Takes the job for this worker under a new attempt number; None when it isn't to be had (any more), or too late.

    The one fenced update that makes a message delivered twice, late or after the end harmless. A job that the next
    crash ends as poison isn't to be had while the worker runs another such: the crash must tell which of them it was.
    """
    taken = lifecycle.move(
        session,
        Status.RUNNING,
        Job.id == job_id,
        Job.model == model,
        jobs.may_start(),
        attempts.may_be_tried(worker_id),
        attempt=Job.attempt + 1,
        worker_id=worker_id,
        started_at=func.coalesce(Job.started_at, func.clock_timestamp()),
    )
    if not taken:
        return None
    job = taken[0]
    given, output = attempts.begin(session, job.id, job.attempt, worker_id=worker_id, model=model, stage=job.stage)
    return Claim(
        job_id=job.id,
        tenant_id=job.tenant_id,
        type=job.type,
        stage=job.stage,
        shown_model=job.shown_model,
        lane=job.lane,
        attempt=job.attempt,
        crashes=job.crashes,
        seed=job.seed,
        input=given.input,
        params=given.params,
        handed=given.handed,
        checkpoint=stored_transcript(output),
    )


def stored_transcript(output: JobOutput | None) -> Transcript:
    """The stream as PostgreSQL has it: whole for an ended job, up to the last checkpoint for a running one."""
    return transcript.from_stored(output.entries, output.token_ids) if output else Transcript()


def params(claimed: Claim, room: int) -> Params:
    """How to sample the job's answer, of which the context holds at most `room` tokens."""
    given = DEFAULTS | claimed.params
    return Params(
        max_tokens=min(given.get("max_tokens", room), room),
        temperature=given["temperature"],
        top_p=given["top_p"],
        top_k=given["top_k"],
        min_p=given["min_p"],
        repetition_penalty=given["repetition_penalty"],
        stop=tuple(given.get("stop", ())),
        seed=claimed.seed,
    )


def checkpoint(
    session: Session,
    job_id: uuid.UUID,
    attempt: int,
    so_far: Transcript,
    progress: tuple[int, int],
    *,
    cleared: bool = False,
) -> None:
    """Keeps what a running attempt has streamed. Does nothing when the attempt is no longer the newest.

    `cleared` says that it has come past where earlier ones crashed: then their crashes were not its fault.
    """
    done, total = progress
    values = {"progress_done": done, "progress_total": total, **({"crashes": 0} if cleared else {})}
    if lifecycle.touch(session, job_id, attempt, **values):
        entries, token_ids = so_far.stored()
        jobs.save_output(session, job_id, entries=entries, token_ids=token_ids)


def finish(session: Session, job_id: uuid.UUID, attempt: int, so_far: Transcript, outcome: Outcome) -> JobView:
    """Writes the end of an attempt, with its usage. Raises `Fenced` when the attempt may not write any more."""
    code, message = outcome.error or (None, None)
    done, total = outcome.progress or (outcome.prompt_tokens, outcome.prompt_tokens)
    ended = lifecycle.move(
        session,
        outcome.status,
        *lifecycle.fenced(job_id, attempt),
        finished_at=func.clock_timestamp(),
        progress_done=done,
        progress_total=total,
        # An ingest's row has what it has spent for good, over all attempts; what failed may know only of its own.
        prompt_tokens=func.greatest(func.coalesce(Job.prompt_tokens, 0), outcome.prompt_tokens),
        completion_tokens=outcome.completion_tokens,
        error_code=code,
        error_message=message,
    )
    if not ended:
        raise errors.Fenced(f"attempt {attempt} of {ids.show(job_id)} is over")
    attempts.end(session, job_id, attempt, outcome.status, code)
    return settle(session, ended[0], so_far, replace(outcome, prompt_tokens=ended[0].prompt_tokens or 0))


def settle(session: Session, job: Job, so_far: Transcript, outcome: Outcome) -> JobView:
    """Keeps output and usage of a job that this transaction has just ended, and whom to tell of it."""
    entries, token_ids = so_far.stored()
    jobs.save_output(session, job.id, entries=entries, token_ids=token_ids, result=outcome.result)
    if outcome.vectors is not None:
        vectors.save(session, job.id, outcome.vectors)
    usage.record(
        session,
        usage.Usage(
            job_id=job.id,
            tenant_id=job.tenant_id,
            model=job.shown_model,
            prompt_tokens=outcome.prompt_tokens,
            completion_tokens=outcome.completion_tokens,
            embedding_tokens=job.embedding_tokens or 0,
        ),
    )
    ended = view.of(job, outcome.result)
    deliveries.note_end(session, job, ended)
    session.flush()
    return ended


def advance(session: Session, job_id: uuid.UUID, attempt: int, so_far: Transcript, onward: Onward) -> bool:
    """Puts a running job into the queue of its next stage. False when the attempt may not write any more.

    The next stage may be the same one, of which a part is done: then the crashes still count. After the commit, a
    refill for `onward.model`.
    """
    crashes = case((Job.stage == onward.stage, Job.crashes), else_=0)
    values: dict[str, Any] = {"stage": onward.stage, "model": onward.model, "worker_id": None, "crashes": crashes}
    if onward.embedding_tokens is not None:
        values["embedding_tokens"] = onward.embedding_tokens
    if not lifecycle.move(session, Status.QUEUED, *lifecycle.running(job_id, attempt), **values):
        return False
    attempts.end(session, job_id, attempt, "passed_on")
    entries, token_ids = so_far.stored()
    jobs.save_output(session, job_id, entries=entries, token_ids=token_ids)
    session.execute(update(JobInput).where(JobInput.job_id == job_id).values(handed=onward.handed))
    return True


def slot_is_wanted(session: Session, model: str, lane: str, tenant_id: uuid.UUID) -> bool:
    """Whether a job of the tenant's that runs on the model should give its slot back: one waits who has fewer slots.

    Only for a job of its own lane; a batch job gives way to interactive ones too.
    """
    lanes = ("interactive", "batch") if lane == "batch" else ("interactive",)
    return any(turns.less_served_waits(session, model, other, tenant_id) for other in lanes)


def hand_back(session: Session, job_id: uuid.UUID, attempt: int, so_far: Transcript) -> bool:
    """Returns a running job to the queue in good order, which counts as no crash. False when it isn't ours any more."""
    if not lifecycle.move(session, Status.QUEUED, *lifecycle.running(job_id, attempt), worker_id=None):
        return False
    attempts.end(session, job_id, attempt, "handed_back")
    entries, token_ids = so_far.stored()
    jobs.save_output(session, job_id, entries=entries, token_ids=token_ids)
    return True


def model_for(models: Catalog, type: str, name: str | None) -> Model:
    """The model of that name, or the catalogue's default for the type. Raises `ModelUnknown` if it can't serve it."""
    if name is None:
        model = catalog.for_type(models, type)
        if model is None:
            raise errors.ModelUnknown("type", f"no model serves the type {type!r}")
        return model
    named = models.get(name)
    if named is None:
        raise errors.ModelUnknown("model", f"no model {name!r}; GET /v1/models lists them")
    if type not in named.types:
        raise errors.ModelUnknown("model", f"{named.name} doesn't serve the type {type!r}")
    return named


def refuse_what_cannot_fit(model: Model, field: str, *texts: str) -> None:
    """Raises `PromptTooLong` for texts that are too long together, whatever the model's vocabulary."""
    size, limit = sum(len(text.encode()) for text in texts), model.context * _TOKEN_BYTES
    if size > limit:
        message = f"{size} bytes can't fit into the {model.context} tokens of {model.name} (at most {limit} bytes)"
        raise errors.PromptTooLong(field, message)


def _refuse_what_cannot_fit(model: Model, given: Mapping[str, Any]) -> None:
    if "prompt" in given:
        refuse_what_cannot_fit(model, "input.prompt", given["prompt"])
    elif "messages" in given:
        refuse_what_cannot_fit(model, "input.messages", *(message["content"] for message in given["messages"]))
    else:
        for number, text in enumerate(given["texts"]):
            refuse_what_cannot_fit(model, f"input.texts.{number}", text)
