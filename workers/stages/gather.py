"""The answers of a request for several, put together once all have ended."""

import math
from collections.abc import Sequence
from typing import Any

from tasks.jobs import family
from tasks.jobs.family import Grown
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.kinds import KINDS
from tasks.kinds.kind import Answering
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot


def gather(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome:  # noqa: ARG001 its readers read the children
    """All answers, or the error of the first that has none. What they spent is charged with the children."""
    claim = attempt.claim
    kind = KINDS[claim.type]
    assert isinstance(kind, Answering)
    choices, keep = kind.choices(kind.parse(claim.asked))
    with slot.sessions.begin() as session:
        answers = family.grown(session, claim.job_id)
    progress = (len(answers), len(answers))
    failed = next((each.error for each in answers if each.error), None)
    if failed:
        return Outcome(Status.FAILED, error=failed, progress=progress)
    kept = [answer for one in _by_prompt(answers, choices) for answer in _kept(one, keep)]
    return Outcome(Status.SUCCEEDED, result={"choices": kept, "usage": _usage(answers, choices)}, progress=progress)


def _by_prompt(answers: Sequence[Grown], choices: int) -> list[Sequence[Grown]]:
    return [answers[start : start + choices] for start in range(0, len(answers), choices)]


def _kept(answers: Sequence[Grown], keep: int | None) -> list[dict[str, Any]]:
    """The results of one prompt's answers; of more than `keep`, the likeliest, by the mean over their tokens."""
    results = [each.result or {} for each in answers]
    return results if keep is None else sorted(results, key=_likelihood, reverse=True)[:keep]


def _likelihood(result: dict[str, Any]) -> float:
    logprobs = [told[1] for told in result.get("logprobs", ())]
    return sum(logprobs) / len(logprobs) if logprobs else -math.inf


def _usage(answers: Sequence[Grown], choices: int) -> dict[str, int]:
    """What clients are told was used: each prompt once, however many answers it had."""
    prompts = sum(one[0].spent.prompt for one in _by_prompt(answers, choices))
    return {"prompt_tokens": prompts, "completion_tokens": sum(each.spent.completion for each in answers)}
