"""Fields and schemas that requests of all kinds are made of."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from dialects import hints
from tasks.doors.idempotency import HEADER
from tasks.errors import InvalidField
from tasks.jobs import timing
from tasks.jobs.timing import Timing

# What PostgreSQL can keep; `webapi.body` refuses the rest wherever it stands.
STORABLE = {"pattern": r"^[^\x00]*$"}


class Whole(fields.Integer):
    """A whole number: 5, not 5.0, no text."""

    def _validated(self, value: Any) -> int:
        if not isinstance(value, int):
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


class Some(fields.List[Any]):
    """One to so many; a longer list is refused before any of it is looked at."""

    def __init__(self, each: fields.Field[Any] | type[ma.Schema], most: int, **options: Any) -> None:
        inner = each if isinstance(each, fields.Field) else fields.Nested(each)
        super().__init__(inner, validate=validate.Length(1, most, error="the list is empty"), **options)
        self._most = most

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and len(value) > self._most:
            raise ma.ValidationError(f"at most {self._most}")
        return super()._deserialize(value, *args, **kwargs)


class Strict(ma.Schema):
    """Unknown fields are refused, with what was meant as far as that can be told."""

    error_messages = {"unknown": hints.UNKNOWN}  # noqa: RUF012 - marshmallow's way

    class Meta:
        unknown = ma.RAISE

    def handle_error(self, error: ma.ValidationError, data: Any, *, many: bool, **_: Any) -> None:
        """Leaves one of the unknown fields, before all other complaints: it may be why another is missing."""
        if many or not isinstance(data, Mapping):
            return
        said = error.messages_dict
        unknown = [name for name in data if said.get(name) == [hints.UNKNOWN]]
        if not unknown:
            return
        known = {name: messages for name, messages in said.items() if messages != [hints.UNKNOWN]}
        name, sentence = hints.told(unknown, self._paths())
        error.messages = {name: [sentence]} | known

    def _paths(self) -> list[str]:
        """Its fields, and those of the objects in them."""
        nested = [(name, field.schema) for name, field in self.fields.items() if isinstance(field, fields.Nested)]
        return [*self.fields, *(f"{name}.{inner}" for name, schema in nested for inner in schema.fields)]


class Given(Strict):
    """Null for an optional field is as if it weren't there."""

    @ma.post_load
    def _without_nulls(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name: value for name, value in data.items() if value is not None}


def filled(what: str) -> validate.Length:
    """At least one character of it."""
    return validate.Length(min=1, error=f"the {what} is empty")


def characters(least: int, most: int) -> validate.Length:
    return validate.Length(least, most, error=f"must have {least} to {most} characters")


def within(low: float, high: float, *, above: bool = False) -> validate.Range:
    return validate.Range(low, high, min_inclusive=not above)


def _moment(description: str) -> fields.AwareDateTime:
    ahead = f"{description} RFC 3339 with its offset, within {timing.MAX_AHEAD_DAYS} days."
    as_in = "as in 2026-11-22T10:00:00+01:00"
    return fields.AwareDateTime(
        format="iso",
        allow_none=True,
        metadata={"description": ahead},
        error_messages={
            "invalid": f"must be a time with its offset, {as_in}",
            "invalid_awareness": f"must say its offset, {as_in}",
        },
    )


class Timed(Given):
    """A job's times, as a client may say them."""

    run_at = _moment("Starts no earlier.")
    expires_at = _moment("`expired` unless it has started by then.")
    max_queue_s = Whole(
        allow_none=True,
        validate=within(1, timing.MAX_QUEUE_S),
        metadata={"description": "The same, in seconds from when it may start; the earlier of both counts."},
    )
    deadline_s = Whole(
        allow_none=True,
        validate=within(1, timing.MAX_DEADLINE_S),
        metadata={"description": "`failed` with `deadline_exceeded` unless it ends so soon after its first start."},
    )


TIMES = tuple(Timed().fields)


def timing_of(given: dict[str, Any]) -> Timing:
    return Timing(**{name: given.get(name) for name in TIMES})


class IdempotencyHeader(ma.Schema):
    key = fields.String(
        data_key=HEADER,
        validate=validate.Regexp(r"\A[\x21-\x7e]{1,255}\Z", error="must be 1 to 255 visible ASCII characters"),
        metadata={
            "description": "The same key and request give the same job or file, for a day at least; another request is"
            " refused.",
            "pattern": r"^[\x21-\x7e]{1,255}$",
        },
    )


class Stop(fields.Field[list[str]]):
    """One stop string or several; always a list inside."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[str]:  # noqa: ARG002
        strings = [value] if isinstance(value, str) else value
        if not isinstance(strings, list) or not all(isinstance(string, str) for string in strings):
            raise ma.ValidationError("must be a string or a list of strings")
        if len(strings) > 8 or not all(1 <= len(string) <= 64 for string in strings):
            raise ma.ValidationError("at most 8 strings of 1 to 64 characters")
        return strings


class Labels(fields.Dict):
    """A client's own notes on a job."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        pairs = super()._deserialize(value, *args, **kwargs)  # type: ignore[no-untyped-call]
        if len(pairs) > 16:
            raise ma.ValidationError("at most 16 pairs")
        for key, text in pairs.items():
            if len(key) > 64:
                raise ma.ValidationError({key[:64]: ["a key has at most 64 characters"]})
            if not isinstance(text, str) or len(text) > 512:
                raise ma.ValidationError({key: ["must be a string of at most 512 characters"]})
        return pairs


def load(schema: ma.Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the schema makes of a body that wasn't read by `arguments`. Raises `InvalidField`."""
    try:
        loaded = schema.load(given)
    except ma.ValidationError as error:
        raise invalid(error.messages_dict) from error
    assert isinstance(loaded, dict)
    return loaded


def invalid(messages: Any) -> InvalidField:
    """The error for the first of marshmallow's complaints."""
    field, message = _first(messages)
    return InvalidField(field[:200] or None, message)


def _first(messages: Any) -> tuple[str, str]:
    """The path and the text of the first complaint in marshmallow's tree of them."""
    path: list[str] = []
    while isinstance(messages, Mapping):
        key, messages = next(iter(messages.items()))
        if key != "_schema":
            path.append(str(key))
    return ".".join(path), str(messages[0] if isinstance(messages, list) else messages)
