"""A note of what runs, so that the next start can end what a killed launcher left behind.

Processes are named by id and time of creation, since ids are used again; the whole note
is void when process 1 is another one than when it was written (a reboot, a new container).
"""

import json
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

WAIT_S = 5.0
CLOCK_SLACK_S = 1.0  # creation times are computed from the clock, which may be set


@dataclass(frozen=True, slots=True)
class Left:
    """One process as it was noted down."""

    name: str
    pid: int
    created: float
    stop_signal: int


def write(path: Path, running: Iterable[tuple[str, int, signal.Signals]]) -> None:
    """Replaces the note by these processes (name, id, the signal that stops it)."""
    entries = [
        asdict(Left(name, pid, created, stop)) for name, pid, stop in running if (created := _created(pid)) is not None
    ]
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(0o600)
    new.write_text(json.dumps({"first_process": _created(1), "processes": entries}))
    new.replace(path)


def running(path: Path) -> dict[str, int]:
    """The ids of the noted processes that still run, by their names."""
    return {entry.name: entry.pid for entry in _read(path) if _is_same(entry)}


def end(path: Path) -> list[str]:
    """Ends every noted process that still runs, with what it started; returns their names."""
    left = [entry for entry in _read(path) if _is_same(entry) or _created(entry.pid) is None]
    running = [(entry, psutil.Process(entry.pid)) for entry in left if _is_same(entry)]
    for entry, process in running:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.Signals(entry.stop_signal))
    psutil.wait_procs([process for _, process in running], timeout=WAIT_S)
    for entry in left:
        kill_group(entry.pid)
    path.unlink(missing_ok=True)
    return [entry.name for entry, _ in running]


def kill_group(pid: int) -> None:
    """Kills what is left of the process group that this process led."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _read(path: Path) -> list[Left]:
    try:
        note = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    if not _near(note["first_process"], _created(1)):
        return []
    return [Left(**entry) for entry in note["processes"]]


def _created(pid: int) -> float | None:
    """When the process was created; None for one that has ended, whether or not its parent took note."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def _is_same(entry: Left) -> bool:
    return _near(entry.created, _created(entry.pid))


def _near(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= CLOCK_SLACK_S
