"""The stage of a `reverse` job, as it would stand in `workers/stages`."""

from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.kinds import KINDS
from tasks.limits.spent import Spent
from tests.flow.reverse.kind import Reversal
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot


def reverse(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome:
    """The text, its last character first."""
    del slot, publisher
    asked: Reversal = KINDS[attempt.claim.type].parse(attempt.claim.asked)
    return Outcome(Status.SUCCEEDED, Spent(), {"text": asked.prompt[::-1]})
