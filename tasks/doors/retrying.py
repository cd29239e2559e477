"""Asking again for what a job that has ended was asked for. It stays as it ended: a new job names it."""

import uuid
from dataclasses import replace

from sqlalchemy.orm import Session

from db.jobs import Job
from tasks import errors, ids
from tasks.doors.submitting import Desk
from tasks.jobs import jobs, lifecycle
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.jobs.timing import Timing
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.kinds import KINDS
from tasks.models.catalog import Catalog

_REQUEUED = frozenset({errors.Poison.code, *errors.SYSTEM})


def plan(session: Session, models: Catalog, caller: Caller, job_id: uuid.UUID) -> Plan:
    """The plan of a new job with input, params, lane, priority, metadata, webhook and deadline of one that has ended.

    It is held to what the catalogue and the collections are now. An ingest takes over the documents that the old one
    left waiting. Raises `NotFound`, `Conflict`, and what the plan of a submission raises.
    """
    old, _ = jobs.find(session, caller, job_id)
    if old.status not in lifecycle.TERMINAL:
        raise errors.Conflict(f"{ids.show(job_id)} hasn't ended")
    if not old.input:
        raise errors.Conflict(f"{ids.show(job_id)} wasn't kept: what it was asked is erased")
    kind = KINDS[old.type]
    asked = Submission(
        type=old.type,
        model=old.model,
        request=kind.parse(Stored(old.input, old.params)),
        lane=old.lane,
        priority=old.priority,
        metadata=old.labels,
        timing=Timing(deadline_s=old.deadline_s),
        webhook=old.webhook,
    )
    return replace(kind.again(session, models, caller, asked, old), retry_of=old.id)


def requeue(desk: Desk, models: Catalog, job_id: uuid.UUID) -> JobView:
    """The operator's retry of a job that failed as poison or by the system's fault: one more attempt, under a new id.

    The old job stays as it ended, and the new one has a single chance. Raises `NotFound`, `Conflict`, and what a
    submission raises.
    """
    with desk.sessions.begin() as session:
        old = session.get(Job, job_id)
    if old is None:
        raise errors.NotFound(f"no job {ids.show(job_id)}")
    if old.status != Status.FAILED or old.error_code not in _REQUEUED:
        raise errors.Conflict(f"{ids.show(job_id)} didn't fail with one of: {', '.join(sorted(_REQUEUED))}")
    owner = Caller(old.tenant_id, "")
    accepted, _ = desk.accept(owner, lambda session: replace(plan(session, models, owner, job_id), chances=1))
    return accepted
