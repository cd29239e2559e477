"""Logs that are cut while their process writes."""

import subprocess
import sys
from pathlib import Path

from cli.launcher import processes, rotation
from tests.cli.test_processes import spec, tended

WRITER = """
import itertools, time
for number in itertools.count():
    print(f"{number:07}", flush=True)
    time.sleep(0.0002)
"""


def everything(log: Path) -> list[str]:
    """The lines of the log and of what was cut from it, the oldest first."""
    parts = [log.with_name(f"{log.name}.{number}") for number in (3, 2, 1)]
    return "".join(part.read_text() for part in (*parts, log) if part.exists()).splitlines()


def test_process_that_keeps_writing_goes_on_in_the_emptied_log(tmp_path: Path) -> None:
    """Its log stays short, three older parts are kept, and no line is torn or out of order."""
    supervisor = processes.Supervisor(tmp_path, tmp_path / "run.json", print, log_limit_bytes=4000, trim_every_s=0)
    supervisor.start(spec(tmp_path, WRITER))
    log = supervisor.log("one")
    try:
        tended(supervisor, lambda: log.exists() and everything(log)[-1:] > ["0004000"])
    finally:
        supervisor.stop("one")
    assert sorted(path.name for path in tmp_path.glob("one.log*")) == ["one.log", *(f"one.log.{n}" for n in (1, 2, 3))]
    lines = everything(log)
    assert {len(line) for line in lines} == {7}
    assert lines == sorted(set(lines))


def test_short_log_is_left_alone(tmp_path: Path) -> None:
    """And so is one that isn't there."""
    log = tmp_path / "one.log"
    rotation.trim(log)
    log.write_text("a line\n")
    rotation.trim(log)
    assert [path.name for path in tmp_path.iterdir()] == ["one.log"]


FULL = """
import resource, signal, sys
from pathlib import Path
from cli.launcher import rotation
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
rotation.trim(Path(sys.argv[1]), limit_bytes=100)
"""


def test_log_that_cannot_be_copied_is_cut_all_the_same(tmp_path: Path) -> None:
    """A file that may not grow stands for a full disk: nothing is raised, and no half of a copy is left."""
    log = tmp_path / "one.log"
    log.write_bytes(b"x" * 1000)
    subprocess.run([sys.executable, "-c", FULL, str(log)], check=True)
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"one.log": 0}
