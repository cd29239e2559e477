"""How far a command has come: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

_SILENCE_S = 10.0


class Bar(Protocol):
    def advance(self, amount: float) -> None:
        """So much more is done."""


@contextmanager
def bar(label: str, total: float) -> Iterator[Bar]:
    """Shows on stderr how much of the total is done, for as long as the block lasts; nothing where it is nothing."""
    console = Console(stderr=True)
    if not total:
        yield _Lines(label, 1.0)
        return
    if not console.is_terminal:
        yield _Lines(label, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        yield _Drawn(shown, shown.add_task(label, total=total))


@dataclass(slots=True)
class _Drawn:
    shown: Progress
    task: TaskID

    def advance(self, amount: float) -> None:
        self.shown.advance(self.task, amount)


class _Lines:
    """A line after each silence."""

    def __init__(self, label: str, total: float) -> None:
        self._label, self._total, self._done = label, total, 0.0
        self._said_at = self._begun_at = time.monotonic()

    def advance(self, amount: float) -> None:
        self._done += amount
        if time.monotonic() - self._said_at > _SILENCE_S:
            self._said_at = time.monotonic()
            click.echo(f"{self._label}: {self._done / self._total:.0%}{self._left()}", err=True)

    def _left(self) -> str:
        """About how long the rest takes, at the pace so far."""
        if not 0 < self._done < self._total:
            return ""
        left_s = (time.monotonic() - self._begun_at) * (self._total / self._done - 1)
        return f", about {left_s:.0f} s left" if left_s < 120 else f", about {left_s / 60:.0f} min left"
