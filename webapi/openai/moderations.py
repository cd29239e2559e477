"""`/v1/moderations`."""

from typing import Annotated, Any, TypedDict

import marshmallow as ma
from flask import Response
from marshmallow import fields

from tasks import errors as domain
from tasks import ids
from tasks.jobs.requests import Submission
from tasks.jobs.view import JobView
from tasks.kinds.moderate import CATEGORIES, Moderation
from webapi.api import Blueprint
from webapi.fields import STORABLE, Given, IdempotencyHeader
from webapi.openai import creating, errors, headers
from webapi.openai.chat import LIMITS
from webapi.openai.headers import Headers
from webapi.openai.requests import elsewhere

blueprint = Blueprint("moderations", __name__, description="OpenAI's moderations, by a model that the catalogue names.")
errors.register(blueprint)

MAX_INPUTS = 32

Flags = TypedDict("Flags", dict.fromkeys(CATEGORIES, bool))  # type: ignore[misc] # names with slashes
Scores = TypedDict("Scores", dict.fromkeys(CATEGORIES, float))  # type: ignore[misc]
InputTypes = TypedDict("InputTypes", dict.fromkeys(CATEGORIES, list[str]))  # type: ignore[misc]


class ModerationResult(TypedDict):
    flagged: bool
    categories: Flags
    category_scores: Annotated[Scores, "How likely the model found that a category applies, 0 to 1."]
    category_applied_input_types: InputTypes


class ModerationList(TypedDict):
    id: str
    model: str
    results: list[ModerationResult]


class Inputs(fields.Field[list[str]]):
    """A text, several, or parts of the type `text`; always a list inside."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:  # noqa: ARG002
        several = value if isinstance(value, list) else [value]
        if not 1 <= len(several) <= MAX_INPUTS:
            raise ma.ValidationError(f"1 to {MAX_INPUTS} inputs")
        return [_text(one, number) for number, one in enumerate(several)]


def _text(given: Any, number: int) -> str:
    text = given.get("text") if isinstance(given, dict) and given.get("type") == "text" else given
    if isinstance(text, dict) and isinstance(text.get("type"), str):
        raise domain.Unsupported(f"input.{number}.type", "models here read text")
    if not isinstance(text, str) or not text:
        raise ma.ValidationError({str(number): ["must be a text, and not empty"]})
    return text


_ONE = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"type": {"type": "string", "enum": ["text"]}, "text": {"type": "string"}}},
        elsewhere.IMAGE_PART,
    ]
}


class ModerationRequest(Given):
    """Texts to be judged."""

    input = Inputs(
        required=True,
        metadata={
            "description": "A text, several, or parts of the type `text`.",
            "oneOf": [{"type": "string", **STORABLE}, {"type": "array", "items": _ONE}],
        },
    )
    model = fields.String(allow_none=True, metadata={"description": "The catalogue's for `moderate` if absent."})


@blueprint.route("/v1/moderations", methods=["POST"])
@blueprint.takes(LIMITS)
@blueprint.arguments(ModerationRequest)
@blueprint.arguments(Headers, location="headers")
@blueprint.arguments(IdempotencyHeader, location="headers")
@blueprint.response(200, ModerationList)
@creating.documented(blueprint)
@blueprint.answers(400, 401, 404, 408, 409, 413, 414, 415, 500, 503)
def create(given: dict[str, Any], said: dict[str, Any], once: dict[str, str]) -> Response:
    """Have texts judged

    By a model that the catalogue has for `moderate`; 404 where it has none. How well it judges is the model's.
    """
    wishes = headers.wishes(said)
    texts = tuple(given["input"])
    asked = Submission(
        "moderate",
        given.get("model"),
        Moderation(texts),
        lane=wishes.lane,
        priority=wishes.priority,
        timing=wishes.timing,
        store=wishes.store,
    )
    call = creating.begin(asked, given, once, wishes, len(texts) if len(texts) > 1 else 0)
    return creating.answered(call, wishes, _moderations)


def _moderations(job: JobView) -> ModerationList:
    result = job.result or {}
    judged = result.get("choices", [result])
    return {"id": ids.show(job.id, "modr-"), "model": job.model, "results": [_result(one) for one in judged]}


def _result(judged: dict[str, Any]) -> ModerationResult:
    found = judged["categories"]
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": judged["scores"],
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},  # type: ignore[typeddict-item]
    }
