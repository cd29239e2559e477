"""`POST /v1/moderations`, read."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields

from dialects.fields import STORABLE, Given
from dialects.openai.requests import elsewhere
from dialects.wishes import Wishes
from tasks import errors
from tasks.jobs.requests import Submission
from tasks.kinds.moderate import Moderation

MAX_INPUTS = 32


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
        raise errors.Unsupported(f"input.{number}.type", "models here read text")
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


def submission(given: Mapping[str, Any], wishes: Wishes) -> Submission[Moderation]:
    """The job that is asked for."""
    return Submission(
        "moderate",
        given.get("model"),
        Moderation(tuple(given["input"])),
        lane=wishes.lane,
        priority=wishes.priority,
        timing=wishes.timing,
        store=wishes.store,
    )
