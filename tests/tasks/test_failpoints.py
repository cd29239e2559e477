"""Failpoints: nothing unless told, then at the very passage."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import errors, failpoints
from tasks.failpoints import Action, Failpoints

ROOT = Path(__file__).parents[2]
PLACES = ("tasks", "webapi", "workers")


def run(told: str, passages: int) -> "subprocess.CompletedProcess[str]":
    """A process that passes `worker.after_claim` so often and says each time that it lives."""
    program = (
        "from tasks import failpoints\n"
        f"for n in range({passages}):\n"
        "    failpoints.passed('worker.after_claim')\n"
        "    print('lives', flush=True)\n"
    )
    env = {**os.environ, failpoints.VARIABLE: told}
    return subprocess.run([sys.executable, "-c", program], env=env, cwd=ROOT, capture_output=True, text=True)


def test_process_dies_at_the_passage_it_was_told() -> None:
    """By SIGKILL, so that nothing of it is tidied up; passages of other places don't count."""
    done = run("worker.mid_prefill:1,worker.after_claim:3", passages=5)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.count("lives") == 2
    assert "failpoint" in done.stdout + done.stderr


def test_process_that_was_told_nothing_passes() -> None:
    """Most processes most of the time."""
    assert run("", passages=5).stdout.count("lives") == 5


def test_pause_holds_only_the_passage_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread goes on afterwards, and later passages aren't held."""
    slept: list[float] = []
    monkeypatch.setattr("tasks.failpoints.time.sleep", slept.append)
    points = Failpoints({("worker.mid_generation", 2): Action.PAUSE})
    for _ in range(4):
        points.passed("worker.mid_generation")
    assert slept == [failpoints.PAUSE_S]


@pytest.mark.parametrize(
    "told", ["worker.nowhere:1", "worker.after_claim", "worker.after_claim:x", "api.before_commit:1:melt"]
)
def test_mistake_is_told(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    """A place that isn't there would never fire, and nobody would notice."""
    monkeypatch.setenv(failpoints.VARIABLE, told)
    with pytest.raises(errors.SettingsError, match=re.escape(told)):
        failpoints.armed.__wrapped__()


def test_every_name_is_a_place_in_the_product() -> None:
    """Each is passed in one place, and no other is."""
    sources = [file.read_text() for room in PLACES for file in (ROOT / room).rglob("*.py")]
    passed = [name for source in sources for name in re.findall(r'failpoints\.passed\("([^"]+)"\)', source)]
    assert sorted(passed) == sorted(failpoints.NAMES)
