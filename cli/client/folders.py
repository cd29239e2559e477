"""The files that a command is given, and those in its folders: which of them can be brought, and how many at once."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from tasks.documents import kinds

_FILES_AT_ONCE = 20
_BYTES_AT_ONCE = 16 << 20
_NAME_CHARACTERS = 256
_NAMED = 10  # of the files that are left out for one reason


@dataclass(frozen=True, slots=True)
class File:
    """A file, what it is called wherever the command is run (its path from the folder that was named), its size."""

    path: Path
    name: str
    size: int


@dataclass(slots=True)
class Found:
    """The files to be brought, in order of their names; and those that were left out, by the reason."""

    files: list[File] = field(default_factory=list)
    skipped: defaultdict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))


def found(paths: Sequence[Path], beside: Path | None = None) -> Found:
    """The files that are named, and those of known kinds in the folders that are named and below.

    Left out are hidden ones, links out of the folder, empty ones, other kinds, and whatever is in the folder `beside`.
    Raises `UsageError` when two of them would be called alike.
    """
    everything = Found()
    named: dict[str, Path] = {}
    ours = beside.resolve() if beside else None
    for path in paths:
        alone = [File(path, path.name, path.stat().st_size)]
        for file in _below(path, everything.skipped, ours) if path.is_dir() else alone:
            if named.setdefault(file.name, file.path) != file.path:
                raise click.UsageError(f"{named[file.name]} and {file.path} would both be called {file.name}")
            everything.files.append(file)
    everything.files = sorted({file.name: file for file in everything.files}.values(), key=lambda file: file.name)
    return everything


def digest(file: File) -> str:
    """The SHA-256 of the file's contents, in hexadecimal."""
    with file.path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def say_skipped(files: Found) -> None:
    """Tells how many were left out, and why; and which, of the first of them."""
    for reason, paths in sorted(files.skipped.items()):
        named = ", ".join(path.as_posix() for path in paths[:_NAMED])
        click.echo(f"left out, {reason}: {len(paths)} ({named}{', …' if len(paths) > _NAMED else ''})", err=True)


def lots(files: Sequence[File]) -> Iterator[list[File]]:
    """The files, as many together as one request may bring."""
    lot: list[File] = []
    size = 0
    for file in files:
        if lot and (len(lot) == _FILES_AT_ONCE or size + file.size > _BYTES_AT_ONCE):
            yield lot
            lot, size = [], 0
        lot.append(file)
        size += file.size
    if lot:
        yield lot


def _below(folder: Path, skipped: defaultdict[str, list[Path]], beside: Path | None) -> Iterator[File]:
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if beside and path.resolve().is_relative_to(beside):
            continue
        if path.is_dir():
            if path.is_symlink():
                skipped["linked folders"].append(below)
        elif reason := _refused(path, below, root):
            skipped[reason].append(below)
        else:
            yield File(path, f"{root.name}/{below.as_posix()}", path.stat().st_size)


def _refused(path: Path, below: Path, root: Path) -> str | None:
    """Why a file in a folder is left out; None if it isn't."""
    if any(part.startswith(".") for part in below.parts):
        return "hidden"
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        return "links out of the folder"
    if not path.is_file():
        return "no files"
    if kinds.kind_of(path.name) is None:
        return "of other kinds"
    if len(below.as_posix()) + len(root.name) + 1 > _NAME_CHARACTERS:
        return f"with paths of more than {_NAME_CHARACTERS} characters"
    return None if path.stat().st_size else "empty"
