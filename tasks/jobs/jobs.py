"""Jobs written down and found. No function commits; some say what follows the commit."""

import datetime as dt
import secrets
import uuid
from typing import Any

from sqlalchemy.orm import Session

from db import jobs, listing
from db.jobs import Job, JobInput, JobOutput
from tasks import errors, ids
from tasks.jobs import lifecycle, timing, view
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Plan, Stored
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.streams import transcript
from tasks.streams.transcript import Transcript

USUAL_CHANCES = 3

_MADE_WITHIN_S = 600  # an id is made so shortly before its job is written down, at the longest


def insert(session: Session, caller: Caller, plan: Plan) -> JobView:
    """Writes the job down: once committed it is never lost. After the commit, a refill for its queue.

    Raises `InvalidField` for its times.
    """
    asked, stored = plan.asked, plan.asked.request.to_json()
    times = timing.resolved(session, asked.timing)
    job = Job(
        **planned(plan, stored),
        tenant_id=caller.tenant_id,
        key_id=caller.key_id or None,
        request_id=caller.request_id,
        status=Status.SCHEDULED if times.run_at else Status.QUEUED,
        lane=asked.lane,
        webhook=dict(asked.webhook) if asked.webhook else None,
        run_at=times.run_at,
        due_at=times.run_at,
        expires_at=times.expires_at,
    )
    session.add(job)
    session.flush()
    session.add(JobInput(job_id=job.id, input=dict(stored.input), params=dict(stored.params)))
    session.flush()
    return view.of(job, None)


def planned(plan: Plan, stored: Stored) -> dict[str, Any]:
    """The columns of a new job that its plan and its request, as it is stored, decide by themselves, whoever asks."""
    asked = plan.asked
    return {
        "id": plan.job_id or ids.new(),
        "type": asked.type,
        "stage": plan.stage,
        "queue": plan.queue,
        "model": plan.model,
        "priority": asked.priority,
        "attempt": 0,
        # Drawn now and kept, so that a run can be repeated to the letter.
        "seed": stored.params.get("seed", secrets.randbelow(2**31)),
        "labels": dict(asked.metadata),
        "created_at": dt.datetime.now(dt.UTC),
        "deadline_s": asked.timing.deadline_s,
        "retry_of": plan.retry_of,
        "chances": plan.chances or USUAL_CHANCES,
    }


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
    after = ids.before_all_since(since.timestamp() - _MADE_WITHIN_S) if since else None
    found = listing.page(session, caller.tenant_id, limit=limit + 1, before=before, after=after, **filters)
    return [view.with_output(job, output) for job, output in found[:limit]], len(found) > limit


def stored_transcript(output: JobOutput | None) -> Transcript:
    """The stream as PostgreSQL has it: whole for an ended job, up to the last checkpoint for a running one."""
    return transcript.from_stored(output.entries, output.token_ids) if output else Transcript()
