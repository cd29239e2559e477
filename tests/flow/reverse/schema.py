"""What clients send for a `reverse` job, as it would stand among the API's requests."""

from marshmallow import fields, validate

from webapi.v1.jobs.requests import Prompt, _Request


class ReverseRequest(_Request):
    """A text to be told backwards."""

    type = fields.String(required=True, validate=validate.Equal("reverse"), metadata={"enum": ["reverse"]})
    input = fields.Nested(Prompt, required=True)
