"""What clients may ask about usage."""

import datetime as dt

import marshmallow as ma
from marshmallow import fields, validate

from dialects.fields import Strict
from tasks.limits.usage import GROUPS, MOST_DAYS

_FIRST, _LAST = dt.date(2000, 1, 1), dt.date(2999, 12, 31)


def _day(name: str, description: str) -> fields.Date:
    return fields.Date(
        format="%Y-%m-%d",
        data_key=name,
        validate=_told,
        metadata={"description": f"{description} A day in UTC, as in 2026-11-27.", "pattern": "^2[0-9]{3}-"},
        error_messages={"invalid": "must be a day, as in 2026-11-27"},
    )


def _told(day: dt.date) -> None:
    if not _FIRST <= day <= _LAST:
        raise ma.ValidationError(f"must be a day from {_FIRST} to {_LAST}")


class UsageQuery(Strict):
    first = _day("from", "The first day; that of `to`'s month if absent.")
    last = _day("to", f"The last day; today if absent. At most {MOST_DAYS} days with the first.")
    group_by = fields.String(validate=validate.OneOf(tuple(GROUPS)), load_default="day")
