"""The data folder of `forebay up`: what lies where, and that only one launcher uses it."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.launcher import given, lineup

DEFAULT = ".forebay"
_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The places in one data folder."""

    root: Path

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.root / "logs"

    @property
    def record(self) -> Path:
        """The note of what runs."""
        return self.root / "run.json"

    @property
    def catalog(self) -> Path:
        """The catalogue of an `up` that was given model files; else there is none."""
        return self.root / "catalog.toml"

    @property
    def restored(self) -> Path:
        """The catalogue that a backup had, with the files that it names beside it; without one, there is none."""
        return self.root / "own" / "catalog.toml"

    @property
    def served_by_default(self) -> Path:
        """The catalogue of an `up` that is told of no other."""
        return self.restored if self.restored.exists() else lineup.CATALOG

    @property
    def given(self) -> Path:
        """The note of what the environment of the last `up` said."""
        return self.root / "given.json"

    @property
    def secrets(self) -> Path:
        """Pepper, passwords and the local key."""
        return self.root / "secrets.json"


class InUse(click.ClickException):
    """Another launcher, or a command, holds the data folder."""


@contextmanager
def claim(root: Path) -> Iterator[DataFolder]:
    """Makes the folder when it is missing and holds it for as long as the block runs.

    Raises `InUse` when another launcher holds it, or a command that works on it. The kernel lets go of the lock when
    we end, however we end.
    """
    folder = DataFolder(root.resolve())
    folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.logs.mkdir(mode=0o700, exist_ok=True)
    with (folder.root / "lock").open("a") as lock:
        os.fchmod(lock.fileno(), 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUse(_by_whom(folder)) from error
        yield folder


def _by_whom(folder: DataFolder) -> str:
    """Who holds a data folder, and where it serves if it is a launcher."""
    noted = given.read(folder.given)
    where = f"; it serves http://{lineup.HOST}:{noted.port} if it is one of the former" if noted else ""
    return f"{folder.root} is in use by another `forebay up` or `make run`, or by a `forebay backup`{where}"


def option(help: str) -> Callable[[_Command], _Command]:
    """Gives a command `--data`, the data folder, as a `Path` that need not be there."""
    kind = click.Path(file_okay=False, path_type=Path)
    return click.option("--data", type=kind, default=DEFAULT, show_default=True, help=help)
