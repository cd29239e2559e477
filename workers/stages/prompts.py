"""What a job puts to the model that answers it."""

from collections.abc import Iterator
from dataclasses import replace

from tasks.jobs.attempts import Claim
from tasks.kinds import KINDS
from tasks.kinds.generation import Generation, Text, ToolCall, Turn
from tasks.kinds.kind import Answering, Composed
from tasks.models.engine import Generator, Prompt
from tasks.streams.transcript import Round, Transcript


def compose(claim: Claim, engine: Generator, so_far: Transcript) -> tuple[Prompt, Composed]:
    """The prompt, and what it was made from: equal for every attempt that has come as far.

    Functions that were called, and what they answered, are in it as turns. Raises what the engine raises for texts that
    it can't read.
    """
    kind = KINDS[claim.type]
    assert isinstance(kind, Answering)
    asked, found = kind.parse(claim.asked), claim.stage_input or {}
    composed = kind.compose(asked, found, engine.context, lambda other: len(_prompt(other, engine).ids))
    turns = tuple(turn for each in so_far.rounds[:-1] for turn in _turns(each))
    if turns and composed.generation.turns is not None:
        composed = replace(composed, generation=replace(composed.generation, turns=composed.generation.turns + turns))
    return _prompt(composed.generation, engine), composed


def _turns(of: Round) -> Iterator[Turn]:
    """What the model said in a round, and what the functions answered."""
    calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in of.calls)
    yield Turn("assistant", (Text(of.text),), calls)
    for result in of.results:
        yield Turn("tool", (Text(result.content),), tool_call_id=result.id)


def _prompt(asked: Generation, engine: Generator) -> Prompt:
    if asked.turns is not None:
        tools = () if asked.tool_choice == "none" else asked.tools
        return engine.chat(asked.messages(), [tool.described() for tool in tools])
    if asked.prompt_ids is not None:
        return engine.prompt_of(asked.prompt_ids)
    assert asked.prompt is not None
    return engine.prompt(asked.prompt)
