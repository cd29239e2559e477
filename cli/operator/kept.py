"""A backup: a folder of files, and a manifest that is written last and says what each of them must be.

manifest.json   the version and the tables it was made by, when, and each file's size and SHA-256
database.dump   PostgreSQL's, as `pg_dump --format=custom` writes it
secrets.json    pepper, webhook key, Flower's password and the local key
catalog.toml    the catalogue, where the installation has one of its own; the paths in it are of this folder
models/         the files that it names
"""

import datetime as dt
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import click

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "database.dump"
SECRETS = "secrets.json"
CATALOG = "catalog.toml"
MODELS = "models"


@dataclass(frozen=True, slots=True)
class KeptFile:
    """What a file of a backup must be."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "KeptFile":
        with path.open("rb") as file:
            return cls(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True, slots=True)
class Manifest:
    """`revision` is that of the tables, `as_of` the moment that they show; `files` are by their paths in the folder."""

    forebay: str
    revision: str
    as_of: str
    files: Mapping[str, KeptFile]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())


def begin(folder: Path) -> None:
    """Makes the folder, for nobody else to read, or takes an empty one that nobody else may enter.

    Raises `ClickException` for any other, which stays as it is.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except FileExistsError:
        _refuse_unfit(folder)
    except OSError as error:
        raise click.ClickException(f"{folder}: {error.strerror}") from error


def _refuse_unfit(folder: Path) -> None:
    try:
        there, mode = any(folder.iterdir()), stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        raise click.ClickException(f"{folder}: {error.strerror}") from error
    if there:
        raise click.ClickException(f"{folder} isn't empty: each backup has a folder of its own")
    if mode & 0o077:
        raise click.ClickException(
            f"others may enter {folder}, and a backup has every secret: name a folder that isn't there yet"
        )


def end(folder: Path, revision: str, as_of: dt.datetime) -> Manifest:
    """Writes the manifest of all that is in the folder: from then on it is a backup."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in (*paths, *{path.parent for path in paths}):
        sync(path)
    files = {path.relative_to(folder).as_posix(): KeptFile.of(path) for path in paths}
    manifest = Manifest(metadata.version("forebay"), revision, as_of.isoformat(timespec="seconds"), files)
    new = folder / f"{MANIFEST}.new"
    new.write_text(json.dumps({"format": FORMAT, **asdict(manifest)}, indent=2) + "\n")
    sync(new)
    new.replace(folder / MANIFEST)
    sync(folder)
    return manifest


def read(folder: Path) -> Manifest:
    """What the manifest says. Raises `ClickException` when there is none, a damaged one, or one of a newer version."""
    try:
        told = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError as error:
        raise click.ClickException(
            f"{folder} is no whole backup: {MANIFEST}, which is written last, is missing"
        ) from error
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{folder / MANIFEST} can't be read: {error}") from error
    version = told.get("format") if isinstance(told, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise click.ClickException(f"{folder} was made by a newer version, forebay {told.get('forebay')}")
    try:
        files = {name: KeptFile(**file) for name, file in told["files"].items()}
        return Manifest(told["forebay"], told["revision"], told["as_of"], files)
    except (LookupError, TypeError, AttributeError) as error:
        raise click.ClickException(f"{folder} is damaged: {MANIFEST} isn't as it was written") from error


def verify(folder: Path, manifest: Manifest) -> None:
    """Raises `ClickException` naming each file that isn't what the manifest says it must be."""
    wrong = [f"{name} {problem}" for name, file in manifest.files.items() if (problem := _problem(folder / name, file))]
    if wrong:
        raise click.ClickException(f"{folder} is damaged: {', '.join(wrong)}")


def _problem(path: Path, expected: KeptFile) -> str | None:
    try:
        found = KeptFile.of(path)
    except OSError as error:
        return f"can't be read ({error.strerror})"
    if found.bytes != expected.bytes:
        return f"has {found.bytes} bytes instead of {expected.bytes}"
    return None if found == expected else "has other bytes than were written"


def sync(path: Path) -> None:
    """Waits until the file, or the folder's list, is on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
