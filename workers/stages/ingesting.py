"""What the two stages of an ingest job share: a document that fails alone, and the end of the job."""

import uuid

from tasks import errors
from tasks.documents import ends, ingest, unpacking
from tasks.jobs import fence
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from workers.attempt import Attempt
from workers.slot import Slot


def give_up(slot: Slot, attempt: Attempt, document_id: uuid.UUID, error: errors.JobError) -> None:
    """The document fails alone. Raises `Fenced`."""
    claim = attempt.claim
    with slot.sessions.begin() as session:
        fence.guard(session, claim.job_id, claim.attempt)
        ingest.failed(session, claim.tenant_id, document_id, error.code, str(error))


def outcome(slot: Slot, attempt: Attempt, progress: tuple[int, int]) -> Outcome:
    """The end of an ingest job: it fails when none of its documents could be read. It was charged lot by lot.

    Raises `Fenced`.
    """
    claim = attempt.claim
    with slot.sessions.begin() as session:
        fence.guard(session, claim.job_id, claim.attempt)
        unpacking.settled(session, claim.tenant_id, claim.job_id)
    with slot.sessions.begin() as session:
        ended = ends.of_job(session, claim.tenant_id, claim.job_id)
    if ended.ready or not ended.failed:
        return Outcome(Status.SUCCEEDED, result=ended.result, progress=progress)
    return Outcome(Status.FAILED, error=ended.failed[0], progress=progress)
