"""`generate`: a prompt continued as it stands, without a chat template."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from tasks import errors
from tasks.jobs import stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds import generation
from tasks.kinds.generation import Answer, Generation, Turn
from tasks.kinds.kind import Answering, Composed, Measure
from tasks.models import catalog, choosing
from tasks.models.catalog import Catalog, Model


class GenerateKind(Answering[Generation]):
    name = "generate"
    serves = "generate"

    def parse(self, stored: Stored) -> Generation:
        return generation.from_json(stored)

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Generation]) -> Plan:
        del session, caller
        model = choosing.model_for(models, self.serves, asked.model)
        _refuse_what_cannot_fit(model, asked.request)
        choosing.refuse_what_it_lacks(model, asked.request.given())
        _refuse_ids_between(asked.request)
        if asked.request.children:
            return Plan(asked, stages.SPREAD, catalog.CONTROL, model.name)
        return Plan(asked, stages.GENERATE, model.name, model.name)

    def compose(self, request: Generation, stage_input: Mapping[str, Any], context: int, measure: Measure) -> Composed:
        del stage_input, context, measure
        return Composed(request)

    def singles(self, request: Generation) -> Sequence[Generation]:
        return request.singles()

    def choices(self, request: Generation) -> tuple[int, int | None]:
        return request.choices, request.keep

    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        return {"text": answers[0].text, **answers[0].ending()}


def _refuse_what_cannot_fit(model: Model, asked: Generation) -> None:
    """Raises `PromptTooLong` for what is too long, whatever the model's vocabulary."""
    suffix = asked.suffix or ""
    if asked.prompt is not None:
        choosing.refuse_what_cannot_fit(model, "input.prompt", asked.prompt, suffix)
    if asked.turns is not None:
        choosing.refuse_what_cannot_fit(model, "input.messages", *_words(asked.turns))
    for number, prompt in enumerate(asked.prompts or ()):
        _refuse_prompt(model, f"input.prompts.{number}", prompt, suffix)
    if asked.prompt_ids is not None:
        _refuse_prompt(model, "input.prompt_ids", asked.prompt_ids)


def _words(turns: Sequence[Turn]) -> Iterator[str]:
    """All that is read of a conversation: what was said, and with what functions were called."""
    for turn in turns:
        yield turn.text
        yield from (call.arguments for call in turn.tool_calls)


def _refuse_prompt(model: Model, field: str, prompt: str | tuple[int, ...], suffix: str = "") -> None:
    if isinstance(prompt, str):
        choosing.refuse_what_cannot_fit(model, field, prompt, suffix)
    else:
        choosing.refuse_too_many_tokens(model, field, len(prompt))


def _refuse_ids_between(asked: Generation) -> None:
    """Raises `Unsupported` for a suffix to token ids: the prompt must be a text."""
    if asked.suffix is not None and not all(isinstance(prompt, str) for prompt in asked.prompts or (asked.prompt,)):
        raise errors.Unsupported("input.suffix", "of token ids: give the prompt as a text")
