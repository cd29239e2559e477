"""Times, time zones and dates, as a model or a client asks for them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.errors import InvalidField, ToolFailed
from tasks.functions import dates
from tasks.functions.registry import Function


def told(tool: Function, **arguments: Any) -> Any:
    return tool.run(tool.parameters.read(json.dumps(arguments)))


def test_current_time_is_now_in_the_zone() -> None:
    """In UTC unless another is asked for."""
    before = datetime.now(UTC).replace(microsecond=0)
    for zone, arguments in (("UTC", {}), ("Asia/Kathmandu", {"timezone": "Asia/Kathmandu"})):
        answer = told(dates.current_time, **arguments)
        time = datetime.fromisoformat(answer["time"])
        assert before <= time <= datetime.now(UTC)
        assert (answer["timezone"], answer["weekday"]) == (zone, f"{time:%A}")
    assert answer["time"].endswith("+05:45")


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", "Europe", "a\0b", "x" * 10_000, 5]
)
def test_time_zone_that_is_none_is_named(zone: Any) -> None:
    """No name of a file is one."""
    with pytest.raises(InvalidField) as wrong:
        told(dates.current_time, timezone=zone)
    assert wrong.value.field == "arguments.timezone"


@pytest.mark.parametrize(
    ("time", "zones", "there"),
    [
        ("2026-11-27T10:00", ("Europe/Berlin", "Asia/Tokyo"), "2026-11-27T18:00:00+09:00"),
        ("2026-07-01T20:30:15", ("America/New_York", "Europe/Berlin"), "2026-07-02T02:30:15+02:00"),
        ("2026-10-25T02:30", ("Europe/Berlin", "UTC"), "2026-10-25T00:30:00+00:00"),  # the first of two
    ],
)
def test_time_is_converted(time: str, zones: tuple[str, str], there: str) -> None:
    """By the rules of that day."""
    answer = told(dates.convert_time, time=time, from_timezone=zones[0], to_timezone=zones[1])
    assert answer["to"]["time"] == there
    assert datetime.fromisoformat(answer["from"]["time"]) == datetime.fromisoformat(there)


def test_time_that_no_clock_shows_is_refused() -> None:
    """An hour is left out in spring; and no year is beyond 9999."""
    with pytest.raises(ToolFailed, match="put forward"):
        told(dates.convert_time, time="2026-03-29T02:30", from_timezone="Europe/Berlin", to_timezone="UTC")
    with pytest.raises(ToolFailed, match="9999"):
        told(dates.convert_time, time="9999-12-31T23:00", from_timezone="America/New_York", to_timezone="UTC")
    for odd in ("2026-11-27T10:00Z", "2026-11-27", "10:00", "soon", 5):
        with pytest.raises(InvalidField) as wrong:
            told(dates.convert_time, time=odd, from_timezone="UTC", to_timezone="UTC")
        assert wrong.value.field == "arguments.time"


@pytest.mark.parametrize(
    ("date", "span", "there"),
    [
        ("2026-01-31", {"months": 1}, "2026-02-28"), ("2024-02-29", {"years": 1}, "2025-02-28"),
        ("2026-11-27", {"weeks": 2, "days": -1}, "2026-12-10"), ("2026-01-01", {"days": -1}, "2025-12-31"),
        ("2026-11-27", {"hours": 25}, "2026-11-28T01:00:00"),
        ("2026-11-27T23:30", {"minutes": 45}, "2026-11-28T00:15:00"),
        ("2026-11-27T10:00+01:00", {"days": 1}, "2026-11-28T10:00:00+01:00"), ("2026-11-27", {}, "2026-11-27"),
    ],
)  # fmt: skip
def test_span_is_added_to_a_date(date: str, span: dict[str, int], there: str) -> None:
    """As people reckon."""
    answer = told(dates.add_to_date, date=date, **span)
    assert answer == {"date": there, "weekday": f"{datetime.fromisoformat(there):%A}"}


def test_span_that_leads_out_of_the_calendar_is_refused() -> None:
    """As one that is no whole number, or too large to mean anything."""
    for span in ({"years": 9000}, {"years": -9000}, {"days": -100_000, "years": -2000}):
        with pytest.raises(ToolFailed, match="9999"):
            told(dates.add_to_date, date="2026-11-27", **span)
    for span in ({"days": 10**9}, {"days": 1.5}):
        with pytest.raises(InvalidField):
            told(dates.add_to_date, date="2026-11-27", **span)


def test_difference_of_two_dates() -> None:
    """In days, and as people say it."""
    answer = told(dates.date_difference, start="2026-01-31", end="2026-11-27T12:00")
    assert (answer["total_days"], answer["total_seconds"]) == (300.5, 25_963_200)
    assert (answer["years"], answer["months"], answer["days"], answer["hours"]) == (0, 9, 27, 12)
    assert told(dates.date_difference, start="2026-11-27", end="2026-11-26")["total_days"] == -1
    with pytest.raises(ToolFailed, match="offset"):
        told(dates.date_difference, start="2026-01-31", end="2026-11-27T12:00Z")
