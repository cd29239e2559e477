"""The end of a summary: what became of its documents."""

from typing import Any

from tasks import errors
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.kinds import KINDS
from tasks.kinds.summary import Summary
from tasks.summaries import results
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot


def tally(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome:  # noqa: ARG001 it has nothing to tell
    """How many documents have a summary. Without one the job fails, with what the first of them failed of."""
    return outcome(slot, attempt, {})


def outcome(slot: Slot, attempt: Attempt, combined: dict[str, Any]) -> Outcome:
    """The end of the job, with the summary of all documents where there is one."""
    claim = attempt.claim
    asked = KINDS[claim.type].parse(claim.asked)
    assert isinstance(asked, Summary)
    with slot.sessions.begin() as session:
        told = results.tallied(session, claim.job_id, len(asked.documents))
    progress = (len(asked.documents), len(asked.documents))
    if not told.succeeded:
        nothing = (errors.NothingSummarised.code, "each of its documents was cancelled, or came too late")
        return Outcome(Status.FAILED, error=told.error or nothing, progress=progress)
    return Outcome(Status.SUCCEEDED, result=told.counts() | combined, progress=progress)
