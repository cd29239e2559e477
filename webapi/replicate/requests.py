"""What Replicate's clients may send, field by field."""

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.fields import STORABLE, Flag, Given, Real, Some, Stop, Strict, Whole, characters, filled, within
from tasks.jobs import timing
from tasks.webhooks.destinations import MAX_URL_LENGTH
from webapi.replicate.named import PREDICTION
from webapi.v1.jobs.conversation import MAX_MESSAGES, Message
from webapi.v1.jobs.requests import LastEventIdHeader as LastEventIdHeader
from webapi.v1.webhooks.requests import URL_PATTERN

TOLD = ("start", "output", "logs", "completed")
MOST_WAIT_S = 60
LEAST_S = 5
AS_IT_STANDS = "{prompt}"
_UNHEEDED = {"description": "Read and not heeded."}
_STOPS = {"oneOf": [{"type": "string", **STORABLE}, {"type": "array", "maxItems": 8, "items": {"type": "string"}}]}


class CommaStop(Stop):
    """Stop strings; a text may hold several, with commas between."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:
        several = [part for part in value.split(",") if part] if isinstance(value, str) else value
        return super()._deserialize(several, *args, **kwargs)


class Words(fields.Field[list[str]]):
    """A text or several; always a list inside."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:  # noqa: ARG002
        several = value if isinstance(value, list) else [value]
        if not 1 <= len(several) <= 2048 or not all(isinstance(text, str) and text for text in several):
            raise ma.ValidationError("must be 1 to 2048 texts, none of them empty")
        return several


class PredictionInput(Given):
    """A prompt, messages, or texts to embed, by what the model serves; and how an answer is drawn."""

    prompt = fields.String(allow_none=True, validate=filled("prompt"), metadata=STORABLE)
    system_prompt = fields.String(allow_none=True, metadata=STORABLE)
    prompt_template = fields.String(
        allow_none=True,
        validate=validate.OneOf((AS_IT_STANDS,)),
        metadata={"description": "Has the prompt continued as it stands; else the catalogue has a model's template."},
    )
    messages = Some(Message, MAX_MESSAGES, allow_none=True)
    texts = Words(allow_none=True, metadata=_STOPS | {"description": "To embed: one text or several."})
    text = fields.String(allow_none=True, validate=filled("text"), metadata=STORABLE)
    max_tokens = Whole(allow_none=True, validate=within(1, 1_000_000))
    max_new_tokens = Whole(allow_none=True, validate=within(1, 1_000_000), metadata={"description": "`max_tokens`."})
    temperature = Real(allow_none=True, validate=within(0, 2))
    top_p = Real(allow_none=True, validate=within(0, 1))
    top_k = Whole(allow_none=True, validate=within(0, 1000), metadata={"description": "0 turns it off."})
    min_p = Real(allow_none=True, validate=within(0, 1))
    repetition_penalty = Real(
        allow_none=True,
        validate=within(0, 2, above=True),
        metadata={"description": "1 is none.", "exclusiveMinimum": 0},
    )
    frequency_penalty = Real(allow_none=True, validate=within(-2, 2))
    presence_penalty = Real(allow_none=True, validate=within(-2, 2))
    seed = Whole(allow_none=True, metadata={"description": "Taken modulo 2³¹."})
    stop = Stop(allow_none=True, metadata=_STOPS)
    stop_sequences = CommaStop(allow_none=True, metadata=_STOPS | {"description": "`stop`, with commas between."})
    min_tokens = Whole(allow_none=True, validate=within(-1, 0), metadata={"description": "Only none."})
    length_penalty = Real(allow_none=True, validate=within(1, 1), metadata={"description": "Only none, which is 1."})
    log_performance_metrics = Flag(allow_none=True, metadata=_UNHEEDED)


class ModelPredictionRequest(Given):
    """What the model in the address is asked."""

    input = fields.Nested(PredictionInput, required=True)
    webhook = fields.String(
        allow_none=True,
        validate=characters(1, MAX_URL_LENGTH),
        metadata={
            "description": "Told of the end with the prediction, signed as every webhook of ours is.",
            "pattern": URL_PATTERN,
        },
    )
    webhook_events_filter = Some(
        fields.String(validate=validate.OneOf(TOLD)),
        len(TOLD),
        allow_none=True,
        metadata={"description": "Must have `completed`, which is all that is told."},
    )
    stream = Flag(allow_none=True, metadata={"description": "Not heeded: there is always a stream."})


class PredictionRequest(ModelPredictionRequest):
    """What a model is asked, by `model` or `version`."""

    model = fields.String(
        allow_none=True, validate=characters(1, 200), metadata={"description": "`name`, `owner/name`."}
    )
    version = fields.String(
        allow_none=True,
        validate=characters(1, 200),
        metadata={"description": "`model` by its usual name here; also `owner/name:latest`."},
    )


class Seconds(fields.Field[int]):
    """A time as in `90`, `90s`, `1m30s`, `1h`; seconds inside."""

    PATTERN = "([0-9]{1,4}h)?([0-9]{1,4}m)?([0-9]{1,6}s?)?"

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:  # noqa: ARG002
        match = re.fullmatch(self.PATTERN, value)
        parts = match.groups() if match else (None, None, None)
        hours, minutes, seconds = (int(part.rstrip("hms")) if part else 0 for part in parts)
        total = hours * 3600 + minutes * 60 + seconds
        if not LEAST_S <= total <= timing.MAX_DEADLINE_S:
            raise ma.ValidationError(f"must be a time of {LEAST_S} to {timing.MAX_DEADLINE_S} seconds, as in 1m30s")
        return total


class PredictionHeaders(ma.Schema):
    prefer = fields.String(
        data_key="Prefer", metadata={"description": "`wait` or `wait=N`: answer after the end, or after N seconds."}
    )
    cancel_after_s = Seconds(
        data_key="Cancel-After",
        metadata={
            "description": "Cancelled unless it starts within this time, and ends within it of its start.",
            "type": "string",
        },
    )


class PredictionsQuery(Strict):
    cursor = PREDICTION.field("From `next` of the page before.")
