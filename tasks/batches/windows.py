"""Completion windows: within which time a batch is to end."""

import re

_SHAPE = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_UNITS_S = {"m": 60, "h": 3600, "d": 86_400}
MOST_S = 30 * 86_400
BOUNDS = "from 1m to 30d, as in 30m, 2h, 24h or 7d"
PATTERN = "^[1-9][0-9]{0,5}[mhd]$"


def seconds(window: str) -> int | None:
    """How long the window is; None for what is none, or is longer than a batch may wait."""
    shape = _SHAPE.fullmatch(window)
    if shape is None:
        return None
    length_s = int(shape[1]) * _UNITS_S[shape[2]]
    return length_s if length_s <= MOST_S else None
