"""The wall around what reads documents, tried from inside: nothing outside is read, written, reached or started."""

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from workers import wall
from workers.engines import hosting

# It does what the child does before it reads a document, then what a document might that had taken it over.
_PROGRAM = """
import json, os, socket, subprocess
from workers.extraction import child
gaps = None
if {walled}:
    child._load(*child._LIBRARIES["pdf"])
    gaps = child._bound({{"memory_bytes": 1 << 30, "cpu_s": 60, "wall_s": 60}})
try:
    {attempt}
except OSError as error:
    print(json.dumps([gaps, type(error).__name__]))
else:
    print(json.dumps([gaps, None]))
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


@dataclass(frozen=True, slots=True)
class Outside:
    """What there is to be reached: a folder that anyone may write to, a port that is listened on."""

    folder: Path
    port: int

    def meets(self, attempt: str, *, walled: bool = True) -> tuple[list[str], str | None]:
        """What the wall can't close here, and the error that the attempt comes to."""
        told = attempt.format(folder=self.folder, port=self.port)
        command = [sys.executable, "-c", _PROGRAM.format(walled=walled, attempt=told)]
        done = subprocess.run(command, env=hosting.environment(), stdout=subprocess.PIPE, timeout=60, check=True)
        gaps, error = json.loads(done.stdout)
        return gaps, error


@pytest.fixture
def outside() -> Iterator[Outside]:
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as server:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "there").touch()
        yield Outside(folder, server.getsockname()[1])


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_child_behind_the_wall_reaches_nothing(outside: Outside, attempt: str) -> None:
    """On every system, whatever its kernel knows."""
    _, error = outside.meets(attempt)
    assert error in ("OSError", "PermissionError", "BlockingIOError")


@pytest.mark.parametrize("attempt", ATTEMPTS_ON_PATHS.values(), ids=ATTEMPTS_ON_PATHS)
def test_child_behind_the_wall_changes_nothing(outside: Outside, attempt: str) -> None:
    gaps, error = outside.meets(attempt)
    if error is None and gaps:
        pytest.skip("; ".join(gaps))
    assert error == "PermissionError"


@pytest.mark.parametrize("attempt", [*ATTEMPTS.values(), *ATTEMPTS_ON_PATHS.values()])
def test_without_the_wall_each_of_these_is_done(outside: Outside, attempt: str) -> None:
    """So it is the wall that stands in the way."""
    assert outside.meets(attempt, walled=False) == (None, None)


def test_module_that_was_not_imported_before_the_wall_is_missing(outside: Outside) -> None:
    """As if it weren't installed: that is what libraries know how to take."""
    missing = "try:\n        import wave\n    except ModuleNotFoundError:\n        raise OSError"
    assert outside.meets(missing)[1] == "OSError"
