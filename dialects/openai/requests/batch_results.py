"""What `/v1/batches/{batch_id}/results` and `/v1/batches/check` are asked."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects.fields import Given, Strict, within
from dialects.named import FILE
from dialects.openai.lines import ENDPOINTS

MOST = 2**31 - 2
_NUMBER = {"pattern": "^[0-9]{1,10}$"}


class Number(fields.Integer):
    """A result's number, or 0."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:  # noqa: ARG002
        if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10):
            raise ma.ValidationError("must be a result's number, or 0")
        return min(int(value), MOST)


class ResultsQuery(Strict):
    after = Number(metadata={**_NUMBER, "description": "The `number` of the last result that one has."})
    limit = fields.Integer(
        load_default=1000, validate=within(1, 10_000), metadata={"description": "At most so many; not of a stream."}
    )
    stream = fields.Boolean(
        load_default=False,
        truthy={"true"},
        falsy={"false"},
        metadata={"description": "Those that are still to come too, as server-sent events; `Accept` says so as well."},
    )


class LastResultHeader(ma.Schema):
    after = Number(
        data_key="Last-Event-ID",
        metadata={**_NUMBER, "description": "What an EventSource sends when it connects again."},
    )


class CheckBatch(Given):
    """A file of requests, to be looked at."""

    input_file_id = FILE.field("A file of the purpose `batch`: a request a line.", required=True)
    endpoint = fields.String(
        required=True,
        validate=validate.OneOf(tuple(ENDPOINTS)),
        metadata={"description": "What each of its requests is for."},
    )
