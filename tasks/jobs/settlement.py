"""What every end of a job does, in the transaction that ends it."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from db import jobs as jobs_table
from db import ledger
from db.jobs import Job
from tasks.jobs import naming, prediction, responses, view
from tasks.jobs.view import JobView
from tasks.streams.transcript import Transcript
from tasks.webhooks import deliveries, messages
from tasks.webhooks.deliveries import Notice

# What a message about a large job says of it even where it is large without its result.
_THIN = ("id", "object", "type", "status", "finished_at", "links")


@dataclass(frozen=True, slots=True)
class End:
    """A job that this transaction has just ended, what it streamed, and what came of it."""

    job: Job
    streamed: Transcript = field(default_factory=Transcript)
    result: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """A job ended in this transaction. After the commit pass it to `endings.follow_up`.

    `entries` is how many its stream has before the one that tells the end.
    """

    view: JobView
    entries: int


def conclude(session: Session, ends: Sequence[End]) -> list[Closing]:
    """All that belongs to the end of a job, of one or of many; a few statements however many never started."""
    _keep_outputs(session, ends)
    ledger.enter(session, [end.job.id for end in ends])
    return tell(session, ends)


def keep(session: Session, job_ids: Sequence[uuid.UUID]) -> None:
    """What belongs to the end of jobs that never started, but for telling of it: that nothing came out, the ledger."""
    jobs_table.save_no_output(session, job_ids)
    ledger.enter(session, job_ids)


def tell(session: Session, ends: Sequence[End]) -> list[Closing]:
    """What belongs to the end of jobs beside writing it down: webhooks are told, conversations go on.

    Their parents go on after the commit (`family.go_on`).
    """
    shown = [view.of(end.job, end.result) for end in ends]
    _tell(session, list(zip(ends, shown, strict=True)))
    session.flush()
    for end in ends:
        responses.settle(session, end.job, end.result)
    return [Closing(view, len(end.streamed.entries)) for end, view in zip(ends, shown, strict=True)]


def _keep_outputs(session: Session, ends: Sequence[End]) -> None:
    """What was streamed; of a job that never started, that there is nothing."""
    jobs_table.save_no_output(session, [end.job.id for end in ends if end.job.started_at is None])
    for end in ends:
        if end.job.started_at is not None:
            entries, token_ids = end.streamed.stored()
            jobs_table.save_output(session, end.job.id, entries=entries, token_ids=token_ids)


def _tell(session: Session, ended: Sequence[tuple[End, JobView]]) -> None:
    """The tenants' webhooks; of children nobody is told."""
    own = [(end, shown) for end, shown in ended if end.job.parent_id is None]
    notices: defaultdict[tuple[uuid.UUID, str], list[Notice]] = defaultdict(list)
    for end, shown in own:
        notice = Notice(shown.id, partial(_message, shown), end.job.webhook, _told_there(end.job, shown))
        notices[shown.tenant_id, f"job.{shown.status}"].append(notice)
    names = naming.names(session, [shown for _, shown in own])
    for _, shown in own:
        if name := names.get(shown.id):
            notices[shown.tenant_id, name.type].append(Notice(shown.id, partial(_event, shown, name.object_id)))
    for (tenant_id, type), theirs in notices.items():
        deliveries.note(session, tenant_id, type, theirs)


def _event(ended: JobView, object_id: str, type: str, message_id: uuid.UUID) -> dict[str, Any]:
    """What OpenAI's clients are told."""
    return messages.event(type, message_id, ended.finished_at, object_id)


def _told_there(job: Job, ended: JobView) -> Callable[[], dict[str, Any]] | None:
    """The message for the URL that a job names, where that was asked for in another shape."""
    if not job.webhook or job.webhook.get("shape") != prediction.SHAPE:
        return None
    root = job.webhook["root"]

    def told() -> dict[str, Any]:
        whole: dict[str, Any] = {**prediction.prediction(ended, root)}
        if len(messages.compact(whole)) > messages.MAX_BYTES:
            whole["output"] = None  # it is at `urls.get`
        return whole

    return told


def _message(ended: JobView, type: str, message_id: uuid.UUID) -> dict[str, Any]:
    """With the job object, its result a link when it is large, and thin when it is large even so."""
    del message_id
    job: dict[str, Any] = {**ended.as_json()}
    if ended.result is not None and len(messages.compact(job)) > messages.MAX_BYTES:
        job["result"] = {"link": job["links"]["self"]}
    if len(messages.compact(job)) > messages.MAX_BYTES:
        job = {name: job[name] for name in _THIN}
    return messages.message(type, ended.finished_at, job)
