"""Waiting for a sign. A test never sleeps for long enough: it says here what it waits for, within a limit that only
ends what would never come."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LIMIT_S = 60.0


def until(met: Callable[[], T], limit_s: float = LIMIT_S, *, look_s: float = 0.01) -> T:
    """Looks every `look_s` seconds until it is so; gives what was seen then. Raises `TimeoutError`."""
    deadline = time.monotonic() + limit_s
    while not (seen := met()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {limit_s:g} s")
        time.sleep(look_s)
    return seen
