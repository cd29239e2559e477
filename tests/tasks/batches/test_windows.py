"""Completion windows."""

import pytest

from tasks.batches import windows


@pytest.mark.parametrize(
    ("window", "length_s"),
    [("24h", 86_400), ("1m", 60), ("30m", 1800), ("2h", 7200), ("7d", 604_800), ("30d", 2_592_000)],
)
def test_windows_are_minutes_hours_or_days(window: str, length_s: int) -> None:
    assert windows.seconds(window) == length_s


@pytest.mark.parametrize(
    "window", ["", "24", "h", "0h", "-1h", "1.5h", "24H", "31d", "721h", "1s", "9" * 99 + "m", "2h "]
)
def test_what_is_none_or_too_long_is_refused(window: str) -> None:
    assert windows.seconds(window) is None
