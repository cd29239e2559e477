"""The stage of every job that a model answers in words."""

from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.kinds import KINDS
from tasks.kinds.generation import Answer, ToolCall
from tasks.kinds.kind import Answering
from tasks.streams.transcript import Transcript
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import functions
from workers.stages.generation import Ending, Generation


def generate(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome:
    """An answer, to its end. Raises what `Generation.run` does."""
    ending = _answered(slot, attempt, publisher)
    kind = KINDS[attempt.claim.type]
    assert isinstance(kind, Answering)
    return Outcome(Status.SUCCEEDED, ending.spent, kind.result([_answer(attempt.transcript, ending.reason)]))


def _answered(slot: Slot, attempt: Attempt, publisher: Publisher) -> Ending:
    """Has the model speak, and the functions called that it wants, until it wants none of the server's any more."""
    generation = Generation(slot, attempt, publisher, slot.generator)
    while True:
        under_way = publisher.transcript.rounds[-1]
        if not under_way.results:  # else an earlier attempt was making the calls
            ending = generation.run()
            under_way = publisher.transcript.rounds[-1]
            if ending.reason != "tool_calls" or not functions.are_wanted(under_way, generation.asked):
                return ending
        functions.make(under_way, slot.toolbox, attempt, publisher)


def _answer(so_far: Transcript, reason: str) -> Answer:
    calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in so_far.rounds[-1].calls)
    logprobs = tuple(each for delta, _ in so_far.deltas for each in delta.logprobs)
    return Answer(so_far.text, reason, so_far.passages, calls, logprobs)
