"""The stage of a job that only wants to know how long its prompt is."""

from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import prompts


def count(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome:
    """The number of tokens that an answer's prompt would have; it costs none. Raises what `prompts.compose` does."""
    prompt, _ = prompts.compose(attempt.claim, slot.generator, publisher.transcript)
    return Outcome(Status.SUCCEEDED, result={"input_tokens": len(prompt.ids)})
