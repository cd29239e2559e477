import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cli.launcher import leftovers, processes
from tests.support.waiting import until

SLEEP = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
WITH_CHILD = (
    "import subprocess, sys, time\n"
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True)\n"
    "time.sleep(600)"
)


def spec(tmp_path: Path, code: str, name: str = "one", **more: object) -> processes.Spec:
    return processes.Spec(name, (sys.executable, "-c", code), {}, tmp_path, **more)  # type: ignore[arg-type]


def tended(supervisor: processes.Supervisor, met: Callable[[], object]) -> None:
    """Waits, and has the supervisor tend its processes meanwhile."""

    def look() -> object:
        supervisor.tend()
        return met()

    until(look)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[processes.Supervisor]:
    supervisor = processes.Supervisor(tmp_path, tmp_path / "run.json", said.append)
    yield supervisor
    supervisor.stop(*supervisor.names())


def test_process_killed_is_started_again(supervisor: processes.Supervisor, tmp_path: Path, said: list[str]) -> None:
    """A process that dies has a successor, and its death is told with its cause."""
    supervisor.start(spec(tmp_path, SLEEP))
    first = supervisor.pid("one")
    os.kill(first, signal.SIGKILL)
    tended(supervisor, lambda: supervisor.pid("one") != first)
    assert supervisor.deaths("one") == 1
    assert said == ["one was ended by SIGKILL, starting it again in 0.25 s"]


def test_process_dying_at_once_is_started_ever_more_seldom(
    supervisor: processes.Supervisor, tmp_path: Path, said: list[str]
) -> None:
    """Each death in a row doubles the wait before the next start."""
    supervisor.start(spec(tmp_path, "raise SystemExit(3)"))
    tended(supervisor, lambda: supervisor.deaths("one") == 3)
    assert said == [f"one exited with status 3, starting it again in {delay} s" for delay in ("0.25", "0.5", "1")]


def test_delay_never_passes_half_a_minute() -> None:
    """However often it died, it is tried again twice a minute."""
    assert [processes.restart_delay_s(n) for n in (1, 2, 7, 8, 5000)] == [0.25, 0.5, 16, 30, 30]


def test_process_that_lived_long_enough_is_started_again_soon(
    supervisor: processes.Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """A long life makes earlier deaths forgotten."""
    monkeypatch.setattr(processes, "STEADY_AFTER_S", 0.0)
    supervisor.start(spec(tmp_path, "raise SystemExit(3)"))
    tended(supervisor, lambda: supervisor.deaths("one") == 3)
    assert {sentence.rpartition(" in ")[2] for sentence in said} == {"0.25 s"}


def test_process_that_cannot_be_started_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """A full disk takes no log and no note; the launcher outlives that, and so do the other processes."""
    monkeypatch.setattr(processes, "LONGEST_DELAY_S", 0.1)
    logs, away = tmp_path / "logs", tmp_path / "away"
    logs.mkdir()
    supervisor = processes.Supervisor(logs, logs / "run.json", said.append)
    supervisor.start(spec(tmp_path, SLEEP))
    logs.rename(away)
    first = supervisor.pid("one")
    os.kill(first, signal.SIGKILL)
    tended(supervisor, lambda: any("one can't be started, trying again in 0.1 s" in line for line in said))
    away.rename(logs)
    tended(supervisor, lambda: supervisor.pid("one") != first)
    second = supervisor.pid("one")
    logs.rename(away)
    supervisor.stop("one")
    assert is_gone(second)


def test_process_with_an_end_is_not_started_again(supervisor: processes.Supervisor, tmp_path: Path) -> None:
    """What runs once and succeeds is no longer kept."""
    supervisor.start(spec(tmp_path, "", once=True))
    tended(supervisor, lambda: not supervisor.keeps("one"))


def test_process_with_an_end_that_fails_is_tried_again(supervisor: processes.Supervisor, tmp_path: Path) -> None:
    """What runs once counts as run only when it succeeds."""
    supervisor.start(
        spec(
            tmp_path,
            "import pathlib as p; f = p.Path('x'); e = f.exists(); f.touch(); raise SystemExit(not e)",
            once=True,
        )
    )
    tended(supervisor, lambda: not supervisor.keeps("one"))


def test_stop_of_a_deaf_process_kills_it(supervisor: processes.Supervisor, tmp_path: Path, said: list[str]) -> None:
    """What ignores its stop signal is killed after its limit."""
    supervisor.start(spec(tmp_path, STUBBORN, stop_limit_s=0.2))
    until(lambda: "deaf" in supervisor.log("one").read_text())
    pid = supervisor.pid("one")
    supervisor.stop("one")
    assert is_gone(pid)
    assert said == ["one did not stop in 0.2 s and is killed: no job is lost"]


@pytest.mark.parametrize("end", ["stop", "death"])
def test_what_a_process_started_ends_with_it(supervisor: processes.Supervisor, tmp_path: Path, end: str) -> None:
    """Neither a stop nor a death leaves a grandchild behind."""
    supervisor.start(spec(tmp_path, WITH_CHILD))
    until(lambda: supervisor.log("one").read_text().endswith("\n"))
    grandchild = int(supervisor.log("one").read_text())
    if end == "stop":
        supervisor.stop("one")
    else:
        os.kill(supervisor.pid("one"), signal.SIGKILL)
    tended(supervisor, lambda: is_gone(grandchild))


LAUNCHER = """
import sys, time
from pathlib import Path
from cli.launcher import processes
folder = Path(sys.argv[1])
supervisor = processes.Supervisor(folder, folder / "run.json", print)
sleep = (sys.executable, "-c", "import time; time.sleep(600)")
supervisor.start(processes.Spec("one", sleep, {}, folder))
print(supervisor.pid("one"), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_launcher_killed_takes_its_processes_along(tmp_path: Path) -> None:
    """`kill -9` of the launcher alone leaves no process behind."""
    argv = [sys.executable, "-c", LAUNCHER, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        child = int(launcher.stdout.readline())
        assert not is_gone(child)
        launcher.kill()
    until(lambda: is_gone(child))


def test_leftover_noted_is_ended(supervisor: processes.Supervisor, tmp_path: Path) -> None:
    """The next start ends what the note names."""
    supervisor.start(spec(tmp_path, SLEEP))
    assert leftovers.end(tmp_path / "run.json") == ["one"]
    assert is_gone(supervisor.pid("one"))
    assert leftovers.end(tmp_path / "run.json") == []


def test_leftover_whose_id_now_names_another_process_is_spared(
    supervisor: processes.Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process created at another time than the note says is not ours to end."""
    supervisor.start(spec(tmp_path, SLEEP))
    note = tmp_path / "run.json"
    created = psutil.Process(supervisor.pid("one")).create_time()
    note.write_text(note.read_text().replace(str(created), str(created - 100)))
    assert leftovers.end(note) == []
    assert not is_gone(supervisor.pid("one"))
