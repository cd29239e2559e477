"""What a job puts to the model that answers it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tasks.jobs.attempts import Claim
from tasks.kinds import KINDS
from tasks.kinds.generation import Generation, Text, ToolCall, Turn
from tasks.kinds.kind import Answering, Composed
from tasks.kinds.rag import RagKind
from tasks.models.engine import Generator, Prompt
from tasks.streams.transcript import Round, Transcript
from workers.stages.functions import MOST_ROUNDS

# What makes a prompt of a claim: `compose`, and what else a stage has a model say.
Compose = Callable[[Claim, Generator, Transcript], tuple[Prompt, Composed]]


@dataclass(frozen=True, slots=True)
class _Measure:
    """`Measure` of an engine's model."""

    engine: Generator

    @property
    def instructed(self) -> bool:
        return self.engine.instructed

    def __call__(self, asked: Generation) -> int:
        return len(_put(Composed(asked, plain=asked.prompt is not None), self.engine).ids)


def compose(claim: Claim, engine: Generator, so_far: Transcript) -> tuple[Prompt, Composed]:
    """The prompt, and what it was made from: equal for every attempt that has come as far.

    Functions that were called, and what they answered, are in it as turns. Raises what the engine raises for texts that
    it can't read.
    """
    kind = KINDS[claim.type]
    assert isinstance(kind, Answering)
    asked, found = kind.parse(claim.asked), claim.stage_input or {}
    composed = kind.compose(asked, found, engine.context, _Measure(engine))
    going_on = _going_on(composed.generation, so_far.rounds[:-1])
    composed = replace(composed, generation=going_on)
    return _put(composed, engine), composed


def follow_up(claim: Claim, engine: Generator, so_far: Transcript) -> tuple[Prompt, Composed]:
    """`compose` for what makes a question of its own of a claim's follow-up."""
    del so_far
    kind = KINDS[claim.type]
    assert isinstance(kind, RagKind)
    composed = kind.follow_up(kind.parse(claim.asked), engine.context, _Measure(engine))
    return _put(composed, engine), composed


def _going_on(asked: Generation, rounds: Sequence[Round]) -> Generation:
    """What is asked after some rounds of calls: a tool that had to be called was, and after many none may be."""
    if asked.turns is None or not rounds:
        return asked
    turns = tuple(turn for each in rounds for turn in _turns(each))
    choice = "none" if len(rounds) >= MOST_ROUNDS or asked.tool_choice == "none" else "auto"
    return replace(asked, turns=asked.turns + turns, tool_choice=choice)


def _turns(of: Round) -> Iterator[Turn]:
    """What the model said in a round, and what the functions answered."""
    calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in of.calls)
    yield Turn("assistant", (Text(of.text),), calls)
    for result in of.results:
        yield Turn("tool", (Text(result.content),), tool_call_id=result.id)


def _put(composed: Composed, engine: Generator) -> Prompt:
    asked = composed.generation
    if composed.plain and asked.prompt is not None:
        return Prompt(asked.prompt, engine.tokenize([asked.prompt])[0])
    return _prompt(asked, engine)


def _prompt(asked: Generation, engine: Generator) -> Prompt:
    if asked.turns is not None:
        tools = () if asked.tool_choice == "none" else asked.tools
        return engine.chat(asked.messages(), [tool.described() for tool in tools])
    if asked.prompt_ids is not None:
        return engine.prompt_of(asked.prompt_ids)
    assert asked.prompt is not None
    return engine.prompt(asked.prompt) if asked.suffix is None else engine.infill(asked.prompt, asked.suffix)
