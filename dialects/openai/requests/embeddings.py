"""`POST /v1/embeddings`, read."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.fields import Given, Whole, within
from dialects.openai.requests.completions import PROMPTS, Prompt, is_ids
from dialects.wishes import Wishes
from tasks import errors
from tasks.jobs.requests import Submission
from tasks.kinds.embed import Embedding
from tasks.models.catalog import Catalog

MAX_INPUTS = 2048


class Inputs(fields.Field[list[Prompt]]):
    """A text, token ids, or several of either; always a list inside."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Prompt]:  # noqa: ARG002
        several = value if isinstance(value, list) and not is_ids(value) else [value]
        if not 1 <= len(several) <= MAX_INPUTS:
            raise ma.ValidationError(f"1 to {MAX_INPUTS} inputs")
        for number, one in enumerate(several):
            if not (isinstance(one, str) and one) and not (isinstance(one, list) and is_ids(one)):
                raise ma.ValidationError({str(number): ["must be a text or a list of token ids, and not empty"]})
        return [one if isinstance(one, str) else tuple(one) for one in several]


class EmbeddingRequest(Given):
    """Texts to be embedded: a vector of length 1 for each."""

    model = fields.String(required=True, metadata={"description": "One of `GET /v1/models`."})
    input = Inputs(required=True, metadata=PROMPTS)
    encoding_format = fields.String(
        allow_none=True,
        validate=validate.OneOf(("float", "base64")),
        metadata={"description": "Arrays of numbers, or each as base64 of little-endian float32."},
    )
    dimensions = Whole(
        allow_none=True, validate=within(1, 65536), metadata={"description": "One of those that the model has."}
    )
    service_tier = fields.String(allow_none=True, metadata={"description": "`flex` waits in the batch lane."})
    user = fields.String(allow_none=True, metadata={"description": "Read and not heeded."})


def submission(given: Mapping[str, Any], wishes: Wishes, models: Catalog) -> Submission[Embedding]:
    """The job that is asked for. Raises `Unsupported` for a size that the model's vectors can't have."""
    model, size = models.get(given["model"]), given.get("dimensions")
    if model is not None and size is not None and size not in model.dimensions:
        sizes = f"only {', '.join(map(str, model.dimensions))}" if model.dimensions else "none but its own"
        raise errors.Unsupported("dimensions", f"{model.name} has {sizes}")
    return Submission(
        type="embed",
        model=given["model"],
        request=Embedding(tuple(given["input"])),
        lane=wishes.lane,
        priority=wishes.priority,
        timing=wishes.timing,
        store=wishes.store,
    )
