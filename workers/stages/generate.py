"""The stage of every job that a model answers in words."""

from tasks.jobs import stages
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages.generation import Generation


def generate(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome:
    """An answer, to its end. Raises what `Generation.run` does."""
    ending = Generation(attempt, publisher, slot.generator, slot.quarantine, slot.worker_id, slot.stall_s).run()
    text = attempt.transcript.text
    answer = {"message": {"role": "assistant", "content": text}} if attempt.claim.type == "chat" else {"text": text}
    result = {**answer, "finish_reason": ending.reason}
    if attempt.claim.type == stages.RAG:
        result["passages"] = attempt.transcript.passages
    return Outcome(Status.SUCCEEDED, ending.spent, result)
