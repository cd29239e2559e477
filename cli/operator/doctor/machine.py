"""This machine: its disk, its memory, its kernel, the models' files and the logs."""

import shutil
import subprocess
import sys
from collections.abc import Iterator

import psutil

from cli.launcher import lineup
from cli.launcher.datafolder import DataFolder
from cli.operator.doctor.finding import Finding, Installation, ok, warning, wrong
from tasks import errors
from tasks.models import catalog

_LIMIT_S = 20.0
_LOW, _NONE = 0.1, 0.02
_LOG_BYTES = 1_000_000_000
# A process that closes the wall around itself, as those do that read strangers' files, and says what stays open.
_CLOSE = "from workers import wall; print('; '.join(wall.close()))"


def disk(installation: Installation) -> Iterator[Finding]:
    """There is room where the installation's files are."""
    usage = shutil.disk_usage(installation.folder)
    seen = f"{usage.free / 1e9:,.1f} of {usage.total / 1e9:,.1f} GB are free at {installation.folder}"
    if usage.free < _NONE * usage.total:
        yield wrong("disk", seen, "make room: without it PostgreSQL accepts no job")
    elif usage.free < _LOW * usage.total:
        yield warning("disk", seen, "make room")
    else:
        yield ok("disk", seen)


def memory(_: Installation) -> Iterator[Finding]:
    """There is memory left."""
    found = psutil.virtual_memory()
    seen = f"{found.available / 1e9:,.1f} of {found.total / 1e9:,.1f} GB are free"
    if found.available < _LOW * found.total:
        yield warning("memory", seen, "give models fewer slots or less context, or move a worker elsewhere")
    else:
        yield ok("memory", seen)


def models(installation: Installation) -> Iterator[Finding]:
    """The catalogue can be read, and its files are here and fit into memory."""
    path = installation.settings.catalog
    try:
        found = catalog.load(path)
    except errors.CatalogError as error:
        yield wrong("models", str(error), "mend the catalogue, or FOREBAY_CATALOG")
        return
    files = {model.name: model.file for model in found.values() if model.file is not None}
    for name, file in files.items():
        if not file.is_file() and not found[name].optional:
            yield wrong("models", f"{name}: there is no {file}", "fetch it where its worker runs, or take it out")
    size = sum(file.stat().st_size for file in files.values() if file.is_file())
    total = psutil.virtual_memory().total
    seen = f"{path} has {', '.join(found)}; their files take {size / 1e9:,.1f} GB"
    if size > (1 - _LOW) * total:
        advice = "share them out: a machine's workers are those whose files fit (`forebay models check FILE`)"
        yield warning("models", f"{seen}, and this machine has {total / 1e9:,.1f} GB", advice)
    else:
        yield ok("models", seen)


def wall(_: Installation) -> Iterator[Finding]:
    """What reads strangers' files here is kept from everything else."""
    argv = [sys.executable, "-c", _CLOSE]
    done = subprocess.run(argv, cwd=lineup.ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        yield wrong("wall", done.stderr.strip().splitlines()[-1], "no file of a document is read on this machine")
    elif gaps := done.stdout.strip():
        yield warning("wall", gaps, "have a kernel with Landlock where files of documents are read (5.13 or later)")
    else:
        yield ok("wall", "processes that read documents are kept from everything else")


def logs(installation: Installation) -> Iterator[Finding]:
    """Those of a `forebay up`, which it keeps short; others are whoever started the processes' own."""
    folder = DataFolder(installation.folder).logs
    if not folder.is_dir():
        return
    size = sum(file.stat().st_size for file in folder.iterdir())
    seen = f"{size / 1e6:,.1f} MB in {folder}"
    if size > _LOG_BYTES:
        yield warning("logs", seen, "something writes too much: look at the largest")
    else:
        yield ok("logs", seen)
