"""What a job puts to the model that answers it."""

from tasks.jobs.attempts import Claim
from tasks.kinds import KINDS
from tasks.kinds.generation import Generation
from tasks.kinds.kind import Answering, Composed
from tasks.models.engine import Generator, Prompt


def compose(claim: Claim, engine: Generator) -> tuple[Prompt, Composed]:
    """The prompt, and what it was made from: equal for every attempt.

    Raises what the engine raises for texts that it can't read.
    """
    kind = KINDS[claim.type]
    assert isinstance(kind, Answering)
    asked, found = kind.parse(claim.asked), claim.stage_input or {}
    composed = kind.compose(asked, found, engine.context, lambda other: len(_prompt(other, engine).ids))
    return _prompt(composed.generation, engine), composed


def _prompt(asked: Generation, engine: Generator) -> Prompt:
    if asked.turns is not None:
        return engine.chat(asked.messages(), asked.described())
    if asked.prompt_ids is not None:
        return engine.prompt_of(asked.prompt_ids)
    assert asked.prompt is not None
    return engine.prompt(asked.prompt)
