"""The wall around what reads documents, tried from inside: nothing outside is read, written, reached or started."""

import json
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from workers import wall
from workers.engines import hosting

# It does what the child does before it reads a document, then what a document might that had taken it over.
_PROGRAM = """
import json, os, socket, subprocess, sys
from workers.extraction import child, pdf
walled, attempts = json.loads(sys.argv[1])
gaps, errors = [], []
if walled:
    pdf.prepare()
    child._load(*child.FOR_ALL, *pdf.LIBRARIES)
    gaps = child._bound({"memory_bytes": 1 << 30, "cpu_s": 60, "wall_s": 60})
for attempt in attempts:
    try:
        exec(attempt)
    except OSError as error:
        errors.append(type(error).__name__)
    else:
        errors.append(None)
print(json.dumps([gaps, errors]))
"""

ATTEMPTS = {
    "reads a file": "open('/etc/passwd')",
    "reads one of ours": f"open({str(Path(wall.__file__))!r})",
    "lists a folder": "os.listdir('/')",
    "writes a file": "open('{folder}/written', 'w')",
    "connects": "socket.create_connection(('127.0.0.1', {port}), 10)",
    "makes a socket without a connection": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "makes a socket of this machine": "socket.socket(socket.AF_UNIX)",
    "starts a process": "subprocess.run(['/bin/true'])",
    "forks": "os.fork() or os._exit(0)",
}
# These take no descriptor: it is Landlock that refuses them.
ATTEMPTS_ON_PATHS = {
    "makes a folder": "os.mkdir('{folder}/made')",
    "moves a file": "os.rename('{folder}/there', '{folder}/moved')",
    "signals its parent": "os.kill(os.getppid(), 0)",
}


MISSING = "a module that was not imported before"
IMPORT = """
try:
    import wave
except ModuleNotFoundError:
    raise OSError
"""


@dataclass(frozen=True, slots=True)
class Met:
    """What the wall can't close here, and the error that each attempt came to."""

    gaps: list[str]
    errors: dict[str, str | None]


def met(*, walled: bool) -> Met:
    """All attempts by one process, on a folder that anyone may write to and a port that is listened on."""
    attempts = {**ATTEMPTS, **ATTEMPTS_ON_PATHS, MISSING: IMPORT}
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as server:
        folder, port = Path(name), server.getsockname()[1]
        folder.chmod(0o777)
        (folder / "there").touch()
        told = [walled, [attempt.format(folder=folder, port=port) for attempt in attempts.values()]]
        command = [sys.executable, "-c", _PROGRAM, json.dumps(told)]
        done = subprocess.run(command, env=hosting.environment(), stdout=subprocess.PIPE, check=True)
    gaps, errors = json.loads(done.stdout)
    return Met(gaps, dict(zip(attempts, errors, strict=True)))


@pytest.fixture(scope="module")
def behind() -> Met:
    return met(walled=True)


@pytest.fixture(scope="module")
def outside() -> Met:
    return met(walled=False)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_child_behind_the_wall_reaches_nothing(behind: Met, attempt: str) -> None:
    """On every system, whatever its kernel knows."""
    assert behind.errors[attempt] in ("OSError", "PermissionError", "BlockingIOError")


@pytest.mark.parametrize("attempt", ATTEMPTS_ON_PATHS)
def test_child_behind_the_wall_changes_nothing(behind: Met, attempt: str) -> None:
    if behind.errors[attempt] is None and behind.gaps:
        pytest.skip("; ".join(behind.gaps))
    assert behind.errors[attempt] == "PermissionError"


@pytest.mark.parametrize("attempt", [*ATTEMPTS, *ATTEMPTS_ON_PATHS])
def test_without_the_wall_each_of_these_is_done(outside: Met, attempt: str) -> None:
    """So it is the wall that stands in the way."""
    assert outside.errors[attempt] is None


def test_module_that_was_not_imported_before_the_wall_is_missing(behind: Met) -> None:
    """As if it weren't installed: that is what libraries know how to take."""
    assert behind.errors[MISSING] == "OSError"
