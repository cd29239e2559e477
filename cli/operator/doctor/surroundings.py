"""Where an installation is: as our own environment says, or in the data folder of a `forebay up` that runs here."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from cli.client.client import DEFAULT_URL
from cli.launcher import credentials, datafolder, embedded, given, leftovers, lineup, ports


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The folder of the installation's files, and where its API and its Flower are, if it has one."""

    folder: Path
    api: str
    flower: str | None


def find(data: Path) -> Surroundings:
    """Of a `forebay up` also the environment of its processes, which becomes our own.

    Whatever of it runs is enough. Raises `ClickException` where nothing does.
    """
    if _named("FOREBAY_DATABASE_URL"):
        return Surroundings(Path.cwd(), DEFAULT_URL, _flower() if _named("FLOWER_BASIC_AUTH") else None)
    folder = datafolder.DataFolder(data.resolve())
    running = leftovers.running(folder.record)
    if not running:
        raise click.ClickException(f"set FOREBAY_DATABASE_URL …, or give --data: no `forebay up` runs with {data}")
    launcher = _launcher(running)
    for pid in (launcher, *running.values()):
        os.environ.update(_environment(pid))
    for name, value in _by_itself(folder).items():
        os.environ.setdefault(name, value)
    noted = given.read(folder.given)
    port, flower_port = (noted.port, noted.flower_port) if noted else (ports.API, ports.FLOWER)
    flower = f"http://{lineup.HOST}:{flower_port}" if flower_port else None
    return Surroundings(folder.root, f"http://{lineup.HOST}:{port}", flower)


def refuse_two() -> None:
    """Raises `UsageError` where a data folder is asked for and the environment names another installation."""
    if _named("FOREBAY_DATABASE_URL"):
        raise click.UsageError("--data names one installation and FOREBAY_DATABASE_URL another: unset one of them")


def _flower() -> str:
    """Where Flower is, by the variables that it reads itself."""
    own = {name: os.environ.get(f"FLOWER_{name}", "") for name in ("ADDRESS", "PORT", "URL_PREFIX")}
    host = lineup.HOST if own["ADDRESS"] in ("", "0.0.0.0") else own["ADDRESS"]  # noqa: S104 it listens there
    return f"http://{host}:{own['PORT'] or ports.FLOWER}/{own['URL_PREFIX'].strip('/')}".rstrip("/")


def _named(variable: str) -> bool:
    """Whether the environment has it, or names a file that does."""
    return bool(os.environ.get(variable) or os.environ.get(f"{variable}_FILE"))


def _launcher(running: Mapping[str, int]) -> int | None:
    """The process that started these; None where it has ended meanwhile."""
    for pid in running.values():
        with suppress(psutil.Error):
            return psutil.Process(pid).ppid()
    return None


def _environment(pid: int | None) -> dict[str, str]:
    """What a process was told of us; nothing of one that has ended, or isn't ours to look at."""
    with suppress(psutil.Error):
        return {k: v for k, v in psutil.Process(pid).environ().items() if k.startswith(("FOREBAY_", "FLOWER_"))}
    return {}


def _by_itself(folder: datafolder.DataFolder) -> dict[str, str]:
    """What `up` tells its processes where nobody tells it: all that there is while only its servers run."""
    told = {
        "FOREBAY_DATABASE_URL": embedded.postgres_url(folder.root),
        "FOREBAY_REDIS_URL": embedded.redis_url(folder.root),
        "FOREBAY_CATALOG": str(folder.catalog if folder.catalog.exists() else folder.served_by_default),
    }
    with suppress(OSError):
        known = credentials.read(folder.secrets)
        told |= {"FOREBAY_KEY_PEPPER": known.pepper, "FOREBAY_WEBHOOK_KEY": known.webhook_key}
    return told
