"""Moments as clients see them."""

import datetime as dt


def show(moment: dt.datetime | None) -> str | None:
    """The moment in UTC, as RFC 3339 has it."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if moment else None
