"""`/v1/batches`, read."""

from collections.abc import Mapping
from typing import Any

from marshmallow import fields, validate

from dialects.fields import Given, IdempotencyHeader, Labels, Strict, Whole, within
from dialects.named import BATCH, FILE
from dialects.openai.lines import ENDPOINTS
from tasks.batches import windows
from tasks.batches.batches import KIND, NewBatch
from tasks.errors import InvalidField
from tasks.jobs.requests import Submission
from tasks.kinds.batch import BatchRequest

_LEAST_S, _MOST_S = 3600, 30 * 86_400


class OutputExpiresAfter(Given):
    anchor = fields.String(required=True, validate=validate.OneOf(("created_at",)))
    seconds = Whole(required=True, validate=within(_LEAST_S, _MOST_S))


class CreateBatch(Given):
    """A file of requests, to be answered within a time."""

    input_file_id = FILE.field("A file of the purpose `batch`: a request a line.", required=True)
    endpoint = fields.String(
        required=True,
        validate=validate.OneOf(tuple(ENDPOINTS)),
        metadata={"description": "What each of its requests is for."},
    )
    completion_window = fields.String(
        required=True,
        metadata={
            "description": f"What hasn't begun by its end is answered with an error: {windows.BOUNDS}.",
            "pattern": windows.PATTERN,
        },
    )
    metadata = Labels(allow_none=True, metadata={"description": "Up to 16 pairs, kept with the batch."})
    output_expires_after = fields.Nested(
        OutputExpiresAfter,
        allow_none=True,
        metadata={"description": "Counted from when its files are made. Else they don't expire."},
    )


class BatchHeaders(IdempotencyHeader):
    priority = fields.Integer(
        data_key="X-Forebay-Priority",
        load_default=5,
        validate=within(0, 9),
        metadata={"description": "9 goes first among the tenant's batches; of one priority, whose window ends first."},
    )


class BatchListQuery(Strict):
    after = BATCH.field("The last `id` of the page before.")
    limit = fields.Integer(load_default=20, validate=within(0, 100))


def submission(given: Mapping[str, Any], priority: int = 5) -> Submission[BatchRequest]:
    """The batch's job. Raises `InvalidField` for a window that is none."""
    window = given["completion_window"]
    window_s = windows.seconds(window)
    if window_s is None:
        raise InvalidField("completion_window", f"must be a time {windows.BOUNDS}")
    kept_s = given.get("output_expires_after", {}).get("seconds")
    new = NewBatch(given["endpoint"], given["input_file_id"], window, window_s, kept_s)
    labels = given.get("metadata", {})
    return Submission(KIND, None, BatchRequest(new), lane="batch", priority=priority, metadata=labels)
