"""The rows there are, and the table they make."""

import time
import traceback

from rich.console import Console
from rich.table import Table

from tests.faults.checker import Tally
from tests.faults.ground import Ground, NotHere, Row

_COLUMNS = (
    "injections",
    "fired",
    "jobs",
    "lost",
    "doubled",
    "failed",
    "gaps",
    "repeats",
    "restarted",
    "usage",
    "differing",
)


def play(row: Row, ground: Ground) -> Tally | str:
    """The row's tally, or why it couldn't be played."""
    began_at = time.monotonic()
    try:
        tally = row(ground)
        tally.took_s = time.monotonic() - began_at
        return tally
    except NotHere as why:
        return f"not here: {why}"
    except Exception as error:  # noqa: BLE001 one row's end must not be that of the others
        traceback.print_exc()
        tally = Tally()
        tally.promise(False, f"{type(error).__name__}: {error}")
        return tally


def empty() -> Table:
    return Table("row", "seed", *_COLUMNS, "recovery p50 s", "max s", "took s", "")


def add(table: Table, name: str, seed: int, played: Tally | str) -> None:
    if isinstance(played, str):
        table.add_row(name, str(seed), *[""] * (len(_COLUMNS) + 3), played)
        return
    middle, longest = (played.recovery(rank) for rank in (0.5, 1.0))
    times = ["" if value is None else f"{value:.1f}" for value in (middle, longest, played.took_s)]
    verdict = "BROKEN" if played.broken else "slow" if played.missed_aims else "holds"
    drift = [f"{played.drifted} of {played.compared} greedy texts differ from alone"] if played.compared else []
    told = "; ".join((verdict, *played.broken_promises, *played.missed_aims, *drift))
    table.add_row(name, str(seed), *(str(getattr(played, column)) for column in _COLUMNS), *times, told)


def say(console: Console, name: str, seed: int, played: Tally | str) -> None:
    """One row as soon as it is known, and what was notable."""
    table = empty()
    add(table, name, seed, played)
    console.print(table)
    if isinstance(played, Tally):
        for note in dict.fromkeys(played.notes[:30]):
            console.print(f"    {note}", style="dim")
