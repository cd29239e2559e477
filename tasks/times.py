"""Moments as clients see them."""

import datetime as dt
from typing import NewType, overload

Moment = NewType("Moment", str)  # RFC 3339, in UTC


@overload
def show(moment: dt.datetime) -> Moment: ...
@overload
def show(moment: None) -> None: ...
@overload
def show(moment: dt.datetime | None) -> Moment | None: ...
def show(moment: dt.datetime | None) -> Moment | None:
    """The moment in UTC, as RFC 3339 has it."""
    return Moment(moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")) if moment else None
