"""The stage of every job that a model answers in words."""

from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.kinds import KINDS
from tasks.kinds.generation import Answer
from tasks.kinds.kind import Answering
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages.generation import Generation


def generate(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome:
    """An answer, to its end. Raises what `Generation.run` does."""
    engine, worker = slot.generator, (slot.quarantine, slot.speaking, slot.worker_id, slot.stall_s)
    ending = Generation(attempt, publisher, engine, *worker).run()
    kind, so_far = KINDS[attempt.claim.type], attempt.transcript
    assert isinstance(kind, Answering)
    logprobs = tuple(each for delta, _ in so_far.deltas for each in delta.logprobs)
    result = kind.result([Answer(so_far.text, ending.reason, so_far.passages, logprobs=logprobs)])
    return Outcome(Status.SUCCEEDED, ending.spent, result)
