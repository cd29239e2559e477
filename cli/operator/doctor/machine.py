"""This machine: its disk, its memory, its kernel, the models' files and the logs."""

import shutil
import socket
from collections.abc import Iterator

import psutil

from cli.launcher.datafolder import DataFolder
from cli.operator.doctor import children
from cli.operator.doctor.finding import Finding, Installation, ok, warning, wrong
from db import diagnosis
from tasks import errors
from tasks.models import catalog

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
    """The catalogue can be read, and those of its files that are here fit into memory."""
    path = installation.settings.catalog
    try:
        found = catalog.load(path)
    except errors.CatalogError as error:
        yield wrong("models", str(error), "mend the catalogue, or FOREBAY_CATALOG")
        return
    files = [model.file for model in found.values() if model.file is not None]
    size = sum(file.stat().st_size for file in files if file.is_file())
    total = psutil.virtual_memory().total
    seen = f"{path} has {', '.join(found)}; their files take {size / 1e9:,.1f} GB"
    if size > (1 - _LOW) * total:
        advice = "share them out: a machine's workers are those whose files fit (`forebay models check FILE`)"
        yield warning("models", f"{seen}, and this machine has {total / 1e9:,.1f} GB", advice)
    else:
        yield ok("models", seen)


def files(installation: Installation) -> Iterator[Finding]:
    """Models' files are here whose worker lives on this machine, or nowhere; of others a machine needs none."""
    try:
        found = catalog.load(installation.settings.catalog)
    except errors.CatalogError:
        return  # `models` says so
    with installation.sessions.begin() as session:
        hosts = diagnosis.hosts(session, installation.settings.lease_s)
    for name, model in found.items():
        if model.file is None or model.optional or model.file.is_file():
            continue
        seen = f"{name}: there is no {model.file} here"
        if socket.gethostname() in hosts.get(name, ()):
            yield wrong("models", f"{seen}, and its worker couldn't start again", "put it back")
        elif name not in hosts:
            advice = "fetch it where its worker is to run, or take it out of the catalogue"
            yield warning("models", f"{seen}, and no worker of it anywhere", advice)


def wall(_: Installation) -> Iterator[Finding]:
    """What reads strangers' files here is kept from everything else."""
    try:
        gaps = children.answer(_CLOSE)
    except children.Failed as error:
        yield wrong("wall", str(error), "no file of a document is read on this machine")
        return
    if gaps:
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
