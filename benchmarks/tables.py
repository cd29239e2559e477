"""What a benchmark found, as tables for a terminal and as JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as Grid

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Table:
    """An answer to one question; numbers keep their full precision until they are shown."""

    question: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    note: str = ""


def show(console: Console, table: Table) -> None:
    grid = Grid(*table.columns, title=table.question, title_justify="left", title_style="bold", caption=table.note)
    grid.caption_justify = "left"
    for row in table.rows:
        grid.add_row(*[shown(cell) for cell in row])
    console.print(grid)


def shown(cell: Cell) -> str:
    """Three digits that matter, whole numbers whole."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
    return str(cell)


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of the values don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
