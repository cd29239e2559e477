"""What the platform costs while there is nothing to do."""

import time

from benchmarks import stacks
from benchmarks.stacks import Stack
from benchmarks.tables import Table

SETTLING_S = 15.0  # a start's last work is over by then


def measure(stack: Stack, seconds: float) -> Table:
    """The CPU of each role over so many seconds in which nobody asks for anything."""
    time.sleep(SETTLING_S)
    roles = stack.roles()
    before, began_at = stacks.cpu_s(roles), time.monotonic()
    time.sleep(seconds)
    after, took_s = stacks.cpu_s(roles), time.monotonic() - began_at
    rows = [(role, 100 * (after[role] - before[role]) / took_s) for role in roles]
    rows.append(("the whole, Flower apart", sum(percent for role, percent in rows if role != "flower")))
    return Table("What does it cost when idle?", ("", "CPU of one core, %"), rows, "")
