"""An ingest job on the control worker: text out of files. And how such a job ends, wherever it does."""

import uuid

from tasks import attempts, errors, stages
from tasks.documents import intake
from tasks.jobs import Onward, Outcome
from tasks.lifecycle import Status
from workers import extraction
from workers.attempt import Attempt
from workers.pen import Pen
from workers.reporter import Reporter
from workers.worker import Worker


def extract(worker: Worker, attempt: Attempt, pen: Pen) -> Outcome | Onward:
    """The text of every file of the job that still wants it, one at a time; a file that holds none fails alone."""
    claim = attempt.claim
    reporter = Reporter(attempt, pen, worker.id)
    with worker.sessions.begin() as session:
        work = intake.work(session, claim.tenant_id, claim.job_id)
    failed, done = 0, work.done
    reporter.report(done, work.total, 0)
    for document in work.waiting:
        attempt.check()
        failed += not _extract_one(worker, attempt, document)
        done += document.bytes
        reporter.report(done, work.total, 0)
    if failed == len(work.waiting):
        return outcome(worker, attempt, (work.total, work.total))
    return Onward(stages.EMBED_DOCUMENTS, claim.shown_model)


def _extract_one(worker: Worker, attempt: Attempt, document: intake.Pending) -> bool:
    """Keeps the file's text, or why there is none. True when it has text, or needs none."""
    claim = attempt.claim
    with worker.sessions.begin() as session:
        raw = intake.raw(session, claim.tenant_id, document.id)
    if raw is None:
        return True
    try:
        text = extraction.extract(raw, document.kind, stopped=lambda: attempt.stopped is not None)
    except errors.JobError as error:
        attempt.check()
        give_up(worker, attempt, document.id, error)
        return False
    with worker.sessions.begin() as session:
        attempts.guard(session, claim.job_id, claim.attempt)
        intake.extracted(session, claim.tenant_id, document.id, text)
    return True


def give_up(worker: Worker, attempt: Attempt, document_id: uuid.UUID, error: errors.JobError) -> None:
    """The document fails alone. Raises `Fenced`."""
    claim = attempt.claim
    with worker.sessions.begin() as session:
        attempts.guard(session, claim.job_id, claim.attempt)
        intake.failed(session, claim.tenant_id, document_id, error.code, str(error))


def outcome(worker: Worker, attempt: Attempt, progress: tuple[int, int]) -> Outcome:
    """The end of an ingest job: it fails when none of its documents could be read."""
    claim = attempt.claim
    with worker.sessions.begin() as session:
        ended = intake.outcome(session, claim.tenant_id, claim.job_id)
    if ended.ready or not ended.failed:
        return Outcome(Status.SUCCEEDED, ended.tokens, 0, ended.result, progress=progress)
    return Outcome(Status.FAILED, ended.tokens, 0, error=ended.failed[0], progress=progress)
