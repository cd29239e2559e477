"""What every schema of a request is made of: nothing unknown, no number from a text, null as if it weren't there."""

from typing import Any

import marshmallow as ma
from marshmallow import fields


class Whole(fields.Integer):
    """A whole number: 5 or 5.0, no text."""

    def _validated(self, value: Any) -> int:
        if not isinstance(value, (int, float)) or (isinstance(value, float) and not value.is_integer()):
            raise self.make_error("invalid", input=value)
        return int(super()._validated(value))


class Real(fields.Float):
    """A number, no text."""

    def _validated(self, value: Any) -> float:
        if not isinstance(value, (int, float)):
            raise self.make_error("invalid", input=value)
        return float(super()._validated(value))


class Flag(fields.Boolean):
    """True or false, no text and no number."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:  # noqa: ARG002
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Strict(ma.Schema):
    """Unknown fields are refused."""

    class Meta:
        unknown = ma.RAISE


class Given(Strict):
    """Null for an optional field is as if it weren't there."""

    @ma.post_load
    def _without_nulls(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name: value for name, value in data.items() if value is not None}
