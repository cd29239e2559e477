"""Times, time zones and dates: what models are bad at."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta
from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from tasks.errors import ToolFailed
from tasks.functions.registry import function


def _known(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name[:64]!r}; names are as in Europe/Berlin") from error
    return name


def _clock(text: Any) -> datetime:
    time = _parsed(text)
    if not isinstance(time, datetime) or time.tzinfo is not None:
        raise ValueError("must be a date and a time without an offset, as in 2026-11-27T10:00")
    return time


def _parsed(text: Any) -> date | datetime:
    """A date, or a date and time. What models write: "2026-11-27T10:00" isn't among the formats of JSON schema."""
    for read in (date.fromisoformat, datetime.fromisoformat):
        with suppress(ValueError, TypeError):
            return read(text)
    raise ValueError("must be a date as in 2026-11-27, or with a time as in 2026-11-27T10:00")


Zone = Annotated[str, AfterValidator(_known)]
Clock = Annotated[datetime, PlainValidator(_clock), WithJsonSchema({"type": "string"})]
Day = Annotated[date | datetime, PlainValidator(_parsed), WithJsonSchema({"type": "string"})]
Count = Annotated[int, Field(ge=-100_000, le=100_000)]


@function
def current_time(timezone: Zone = "UTC") -> dict[str, Any]:
    """Tells what time and which day it is now.

    Args:
        timezone: Where, as an IANA name: Europe/Berlin, America/New_York, UTC.
    """
    return _told(datetime.now(UTC).astimezone(ZoneInfo(timezone)), timezone)


@function
def convert_time(time: Clock, from_timezone: Zone, to_timezone: Zone) -> dict[str, Any]:
    """Converts a time of one time zone into that of another.

    Args:
        time: The date and time in the first zone, as in 2026-11-27T10:00.
        from_timezone: The first zone as an IANA name, as in Europe/Berlin.
        to_timezone: The other zone as an IANA name, as in Asia/Tokyo.
    """
    here = time.replace(tzinfo=ZoneInfo(from_timezone))
    try:
        there = here.astimezone(ZoneInfo(to_timezone))
        exists = here.astimezone(UTC).astimezone(here.tzinfo).replace(tzinfo=None) == time
    except OverflowError as error:
        raise ToolFailed("the time is outside of the years 1 to 9999") from error
    if not exists:
        raise ToolFailed(f"{time.isoformat()} doesn't exist in {from_timezone}: clocks are put forward then")
    return {"from": _told(here, from_timezone), "to": _told(there, to_timezone)}


@function
def add_to_date(
    date: Day,
    years: Count = 0,
    months: Count = 0,
    weeks: Count = 0,
    days: Count = 0,
    hours: Count = 0,
    minutes: Count = 0,
) -> dict[str, Any]:
    """Adds a span to a date, or to a date and time. Negative numbers subtract.

    A month after January 31st is the last day of February. The answer has a time if the date has one, or if hours or
    minutes are added.

    Args:
        date: The date, as in 2026-11-27, or with a time, as in 2026-11-27T10:00.
    """
    begun = _timed(date) if hours or minutes else date
    span = relativedelta(years=years, months=months, weeks=weeks, days=days, hours=hours, minutes=minutes)
    try:
        ended = begun + span
    except (OverflowError, ValueError) as error:
        raise ToolFailed("the result is outside of the years 1 to 9999") from error
    return {"date": ended.isoformat(), "weekday": f"{ended:%A}"}


@function
def date_difference(start: Day, end: Day) -> dict[str, Any]:
    """Tells how long it is from one date to another; negative where the other is earlier.

    Args:
        start: The date, as in 2026-11-27, or with a time, as in 2026-11-27T10:00.
        end: The other date, written in the same way.
    """
    first, last = _timed(start), _timed(end)
    if (first.tzinfo is None) != (last.tzinfo is None):
        raise ToolFailed("either both dates have an offset, or none")
    apart = last - first
    parts = relativedelta(last, first)
    named = {name: getattr(parts, name) for name in ("years", "months", "days", "hours", "minutes", "seconds")}
    return {"total_days": apart / timedelta(days=1), "total_seconds": int(apart.total_seconds()), **named}


def _timed(day: date | datetime) -> datetime:
    return day if isinstance(day, datetime) else datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a wall's clock


def _told(time: datetime, timezone: str) -> dict[str, Any]:
    return {"time": time.isoformat(timespec="seconds"), "timezone": timezone, "weekday": f"{time:%A}"}
