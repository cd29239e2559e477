"""The stage of every job that a model answers in words."""

from tasks import errors
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
from workers.stages.generation import Generation


def generate(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome:
    """An answer, to its end; a failure where none fits that was tried. Raises what else `Generation.run` does."""
    generation = Generation(slot, attempt, publisher, slot.generator)
    kind = KINDS[attempt.claim.type]
    assert isinstance(kind, Answering)
    try:
        reason = _answered(generation, slot, attempt, publisher)
        result = kind.result([_answer(attempt.transcript, reason)])
    except errors.JobError as error:  # for all that was computed, also where nobody was told
        failure = error.code, str(error).replace("\0", "")  # PostgreSQL's text has no NUL; a template may quote one
        return Outcome(Status.FAILED, generation.spent, error=failure, progress=attempt.progress)
    return Outcome(Status.SUCCEEDED, generation.spent, result)


def _answered(generation: Generation, slot: Slot, attempt: Attempt, publisher: Publisher) -> str:
    """Has the model speak, and the functions called that it wants, until it wants none of the server's any more.

    Returns why the answer ended.
    """
    while True:
        under_way = publisher.transcript.rounds[-1]
        if not under_way.results:  # else an earlier attempt was making the calls
            reason = generation.run().reason
            under_way = publisher.transcript.rounds[-1]
            if reason != "tool_calls" or not functions.are_wanted(under_way, generation.asked):
                return reason
        functions.make(under_way, slot.toolbox, attempt, publisher)


def _answer(so_far: Transcript, reason: str) -> Answer:
    calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in so_far.rounds[-1].calls)
    logprobs = tuple(each for delta, _ in so_far.deltas for each in delta.logprobs)
    return Answer(so_far.text, reason, so_far.passages, calls, logprobs, so_far.question)
