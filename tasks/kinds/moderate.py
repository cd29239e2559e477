"""`moderate`: texts judged by a model, harm by harm, as OpenAI's moderations name them.

The model answers with a JSON object that has a truth value for each; the score of one is how likely the model found
`true` where it could say `true` or `false`.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from tasks import errors
from tasks.jobs import stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds.generation import Answer, Generation, Shape, Text, Turn
from tasks.kinds.kind import Answering, Composed, Measure
from tasks.kinds.sampling import Sampling
from tasks.models import catalog, choosing
from tasks.models.catalog import Catalog
from tasks.models.logprobs import Logprob

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)

_TEMPLATE = Path(__file__).parent / "templates" / "moderate.txt"
_BESIDE = 5  # likeliest tokens looked at beside the one that was drawn
_SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "boolean"} for name in CATEGORIES},
    "required": list(CATEGORIES),
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Moderation:
    """Texts to be judged, each by itself."""

    texts: tuple[str, ...]

    def to_json(self) -> Stored:
        return Stored({"texts": list(self.texts)}, {})


class ModerateKind(Answering[Moderation]):
    name = "moderate"
    serves = "moderate"

    def parse(self, stored: Stored) -> Moderation:
        return Moderation(tuple(stored.input["texts"]))

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Moderation]) -> Plan:
        del session, caller
        model = choosing.model_for(models, self.serves, asked.model)
        choosing.refuse_what_it_lacks(model, ["shape", "logprobs"])
        for number, text in enumerate(asked.request.texts):
            choosing.refuse_what_cannot_fit(model, f"input.texts.{number}", text)
        if len(asked.request.texts) > 1:
            return Plan(asked, stages.SPREAD, catalog.CONTROL, model.name)
        return Plan(asked, stages.GENERATE, model.name, model.name)

    def singles(self, request: Moderation) -> Sequence[Moderation]:
        return [Moderation((text,)) for text in request.texts]

    def compose(self, request: Moderation, stage_input: Mapping[str, Any], context: int, measure: Measure) -> Composed:
        del stage_input, context, measure
        [text] = request.texts
        turns = (Turn("system", (Text(_instruction()),)), Turn("user", (Text(text),)))
        greedy = Sampling(temperature=0)
        return Composed(Generation(turns=turns, sampling=greedy, shape=Shape(_SCHEMA), logprobs=_BESIDE))

    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Raises `AnswerUnfit` for an answer that had no room."""
        [answer] = answers
        if answer.finish_reason != "stop":
            raise errors.AnswerUnfit("the model's context has no room for the judgement")
        said: dict[str, bool] = json.loads(answer.text)
        scores = dict(_scores(answer.text, answer.logprobs))
        return {"categories": said, "scores": {name: scores.get(name, float(said[name])) for name in CATEGORIES}}


@cache
def _instruction() -> str:
    return _TEMPLATE.read_text(encoding="utf-8").format(categories=", ".join(CATEGORIES)).strip()


def _scores(text: str, told: Sequence[Logprob]) -> Iterator[tuple[str, float]]:
    """How likely each `true` was, where the tokens tell."""
    if not told:
        return
    ends = list(_ends(text, told))
    for name in CATEGORIES:
        place = text.find(f'"{name}":') + len(name) + 3
        place += text[place : place + 1] == " "
        token, begins = next((each, end - len(each.token)) for each, end in zip(told, ends, strict=True) if end > place)
        if (score := _share_of_true(token, place - begins)) is not None:
            yield name, score


def _ends(text: str, told: Sequence[Logprob]) -> Iterator[int]:
    """Where each token ends in the text, which may lack the white space that the first ones had."""
    end = len(text) - sum(len(each.token) for each in told)
    for each in told:
        end += len(each.token)
        yield end


def _share_of_true(token: Logprob, at: int) -> float | None:
    """Of the chances that the token has `true` or `false` there, or its beginning, the share of `true`."""
    chances, before = {"t": 0.0, "f": 0.0}, token.token[:at].rstrip()
    for each in {other.token: other for other in (token, *token.top)}.values():
        word = each.token.removeprefix(before).lstrip() if each.token.startswith(before) else ""
        if word and ("true".startswith(word) or "false".startswith(word) or word.startswith(("true", "false"))):
            chances[word[0]] += math.exp(each.logprob)
    total = sum(chances.values())
    return chances["t"] / total if total else None
