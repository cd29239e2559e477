"""What clients may send to call a function."""

from marshmallow import fields

from dialects.fields import Strict

NAME_IN_PATH = {
    "in": "path",
    "name": "name",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}


class FunctionCall(Strict):
    """The arguments by their names."""

    arguments = fields.Dict(
        keys=fields.String(),
        load_default=dict,
        metadata={"type": "object", "description": "As the function's `parameters` describe them."},
    )
