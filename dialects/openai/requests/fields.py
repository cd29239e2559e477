"""Fields that several of OpenAI's requests have."""

from collections.abc import Iterable, Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.fields import Flag, Given, Labels, Real, Stop, Whole, within
from tasks import errors
from tasks.kinds.sampling import Sampling

TIERS = ("auto", "default", "flex", "scale", "priority", "fast")


class StreamOptions(Given):
    include_usage = Flag(allow_none=True, metadata={"description": "One more chunk, with what was used."})
    include_obfuscation = Flag(allow_none=True, metadata={"description": "Read and not heeded: nothing is padded."})


class LogitBias(fields.Dict):
    """Token ids as texts, and how much likelier each is made."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> dict[int, float]:
        pairs = super()._deserialize(value, *args, **kwargs)  # type: ignore[no-untyped-call]
        if len(pairs) > 1024:
            raise ma.ValidationError("at most 1024 tokens")
        for token, bias in pairs.items():
            if not (token.isascii() and token.isdigit() and len(token) <= 7):
                raise ma.ValidationError({token[:64]: ["must be a token's id"]})
            if isinstance(bias, bool) or not isinstance(bias, (int, float)) or not -100 <= bias <= 100:
                raise ma.ValidationError({token: ["must be a number between -100 and 100"]})
        return {int(token): float(bias) for token, bias in pairs.items()}


class Sampled(Given):
    """What every request for words may say of how they are drawn."""

    model = fields.String(required=True, metadata={"description": "One of `GET /v1/models`."})
    temperature = Real(allow_none=True, validate=within(0, 2), metadata={"description": "0 takes the likeliest token."})
    top_p = Real(allow_none=True, validate=within(0, 1))
    top_k = Whole(allow_none=True, validate=within(0, 1000), metadata={"description": "Not OpenAI's. 0 turns it off."})
    min_p = Real(allow_none=True, validate=within(0, 1), metadata={"description": "Not OpenAI's."})
    repetition_penalty = Real(
        allow_none=True,
        validate=within(0, 2, above=True),
        metadata={"description": "Not OpenAI's. 1 is none.", "exclusiveMinimum": 0},
    )
    frequency_penalty = Real(allow_none=True, validate=within(-2, 2))
    presence_penalty = Real(allow_none=True, validate=within(-2, 2))
    seed = Whole(allow_none=True, validate=within(-(2**63), 2**63 - 1), metadata={"description": "Taken modulo 2³¹."})
    stop = Stop(allow_none=True, metadata={"description": "The answer ends before any of these: one, or up to eight."})
    logit_bias = LogitBias(allow_none=True, metadata={"description": "Token ids, and -100 to 100 for each."})
    n = Whole(allow_none=True, validate=within(1, 32), metadata={"description": "So many answers, each a job's."})
    stream = Flag(allow_none=True, metadata={"description": "Server-sent events instead of one answer."})
    stream_options = fields.Nested(StreamOptions, allow_none=True)
    service_tier = fields.String(
        allow_none=True,
        validate=validate.OneOf(TIERS),
        metadata={"description": "`flex` waits in the batch lane, behind all that is interactive."},
    )
    metadata = Labels(allow_none=True, metadata={"description": "Up to 16 pairs, kept with the job."})
    user = fields.String(allow_none=True, metadata={"description": "Read and not heeded."})


def sampling(given: Mapping[str, Any]) -> dict[str, Any]:
    """What all requests for words have in common, as `Generation` takes it."""
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty")
    drawn = {name: given[name] for name in names if name in given}
    if drawn.get("top_p") == 0:  # the likeliest token alone
        drawn |= {"top_p": 1.0, "top_k": 1}
    return {
        "sampling": Sampling(**drawn),
        "stop": tuple(given.get("stop", ())),
        "seed": None if given.get("seed") is None else given["seed"] % 2**31,
        "logit_bias": given.get("logit_bias", {}),
        "choices": given.get("n", 1),
    }


def refuse(given: Mapping[str, Any], unsupported: Mapping[str, Iterable[Any]]) -> None:
    """Raises `Unsupported` for the first of these fields that asks for more than the harmless values beside it."""
    for name, harmless in unsupported.items():
        if name in given and given[name] not in harmless:
            raise errors.Unsupported(name, "no model here can do that")
