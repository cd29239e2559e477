"""Jobs written down and found. No function commits; some say what follows the commit."""

import datetime as dt
import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from db import jobs, line, listing
from db.jobs import Job, JobOutput
from db.session import alone, within
from tasks import errors, ids, strictjson
from tasks.jobs import lifecycle, timing, view
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Plan
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.streams import transcript
from tasks.streams.transcript import Transcript

USUAL_CHANCES = 3

_MADE_WITHIN_S = 600  # an id is made so shortly before its job is written down, at the longest


def insert(session: Session, caller: Caller, plan: Plan, room: str | None = None) -> tuple[JobView, bool]:
    """Writes the job down: once committed it is never lost. True when it went straight into its queue's window, under
    the condition `room` (`window.room`); else a refill follows the commit.

    Where the session has asked PostgreSQL nothing yet, nothing else belongs to the job: it is committed when this
    returns. Raises `InvalidField` for its times.
    """
    asked = plan.asked
    times = timing.resolved(session, asked.timing)
    values = planned(plan) | {
        "tenant_id": caller.tenant_id,
        "key_id": caller.key_id or None,
        "request_id": caller.request_id,
        "lane": asked.lane,
        "webhook": dict(asked.webhook) if asked.webhook else None,
        "run_at": times.run_at,
        "expires_at": times.expires_at,
    }
    send = within(session) if session.in_transaction() else alone(session)
    status = line.submit(send, values | _as_json(values), room)
    return view.of(Job(**values, status=status), None), status == Status.DISPATCHED


def _as_json(values: Mapping[str, Any]) -> dict[str, str | None]:
    made = {name: strictjson.dumps(values[given]) for name, given in _JSON.items()}
    return made | {"webhook": strictjson.dumps(values["webhook"]) if values["webhook"] else None}


_JSON = {"metadata": "labels", "input": "input", "params": "params"}


def planned(plan: Plan) -> dict[str, Any]:
    """The columns of a new job that its plan decides by itself, whoever asks."""
    asked, stored = plan.asked, plan.asked.request.to_json()
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
        "store": asked.store,
        "conversation_id": plan.conversation_id,
        "input": dict(stored.input),
        "params": dict(stored.params),
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


def status(session: Session, job_id: uuid.UUID) -> tuple[Status, str | None] | None:
    """How any tenant's job stands, and the code of its error if it has one; None when the job is gone."""
    found = jobs.status(session, job_id)
    return (Status(found[0]), found[1]) if found else None


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


def stored_transcript(output: JobOutput | None, pieces: Sequence[Sequence[Any]] | None = None) -> Transcript:
    """The stream as PostgreSQL has it: whole for an ended job. Of one that hasn't ended it is in `pieces`, those of its
    checkpoint; there are none while nothing was kept since it was handed on."""
    if pieces:
        return transcript.from_plain(entry for piece in pieces for entry in piece)
    return transcript.from_stored(output.entries, output.token_ids) if output else Transcript()


def so_far(session: Session, job_id: uuid.UUID) -> Transcript:
    """The stream of a job, up to the last checkpoint while it runs; empty where there is no such job."""
    return stored_transcript(*jobs.so_far(session, job_id))
