"""`forebay up` with everything it starts, killed in every way."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.conftest import ROOT, Stack, forebay_up

ECHO = """
[echo]
engine = "echo"
context = 4096
slots = 2
types = ["generate"]
options = { token_s = 0.05 }
"""
WORDS = " ".join(f"word{n}" for n in range(30))
EMBEDDED = ["postgres", "redis"]
OURS = ["api", "control", "worker-echo"]


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.toml"
    path.write_text(ECHO)
    return path


def wait_for(met: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def ask(stack: Stack, method: str, path: str, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {stack.key}"}
    return httpx.request(method, f"{stack.url}{path}", headers=headers, timeout=70, **more)


def submit(stack: Stack, prompt: str = WORDS) -> str:
    job = {"type": "generate", "model": "echo", "input": {"prompt": prompt}, "params": {"temperature": 0}}
    answer = ask(stack, "POST", "/v1/jobs", json=job)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def status(stack: Stack, job_id: str) -> str:
    return str(ask(stack, "GET", f"/v1/jobs/{job_id}").json()["status"])


def finished(stack: Stack, job_id: str) -> dict[str, Any]:
    job = ask(stack, "GET", f"/v1/jobs/{job_id}?wait=60").json()
    assert job["status"] == "succeeded", job
    return dict(job)


def is_ready(stack: Stack) -> bool:
    try:
        parts = ask(stack, "GET", "/readyz").json()["parts"]
    except httpx.TransportError:
        return False
    return bool(parts["postgres"] == parts["redis"] == "ok" and parts["workers"]["echo"] >= 1)


def pids(stack: Stack) -> dict[str, int]:
    """The launcher's own children by name."""
    note = json.loads((stack.data / "run.json").read_text())
    return {entry["name"]: entry["pid"] for entry in note["processes"]}


def family(stack: Stack) -> list[psutil.Process]:
    return [psutil.Process(stack.process.pid), *psutil.Process(stack.process.pid).children(recursive=True)]


def all_gone(processes: list[psutil.Process]) -> bool:
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_up_says_where_it_is_and_nothing_else(tmp_path: Path, catalog: Path) -> None:
    """One line on stdout; after SIGINT status 0 and no process left."""
    with forebay_up(tmp_path / "data", catalog) as stack:
        everyone = family(stack)
        assert set(pids(stack)) == {*EMBEDDED, *OURS}
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.stdout is not None
        assert stack.process.stdout.read() == ""
        assert stack.process.wait() == 0
        assert all_gone(everyone)


def test_launcher_killed_leaves_no_process(tmp_path: Path, catalog: Path) -> None:
    """`kill -9` of the launcher alone takes everything along."""
    with forebay_up(tmp_path / "data", catalog) as stack:
        everyone = family(stack)
        stack.process.kill()
        wait_for(lambda: all_gone(everyone))


def test_everything_killed_starts_again_and_goes_on(tmp_path: Path, catalog: Path) -> None:
    """After `kill -9` of all, the next start has the same key, finds old jobs and finishes the unfinished."""
    with forebay_up(tmp_path / "data", catalog) as before:
        old = finished(before, submit(before))
        running = submit(before)
        wait_for(lambda: status(before, running) == "running")
        everyone = family(before)
        for process in everyone:
            with suppress(psutil.NoSuchProcess):  # the launcher's death takes the others along
                process.kill()
        wait_for(lambda: all_gone(everyone))
    with forebay_up(tmp_path / "data", catalog) as after:
        assert after.key == before.key
        assert ask(after, "GET", f"/v1/jobs/{old['id']}").json()["result"] == old["result"]
        assert finished(after, running)["result"]["text"] == WORDS


def test_any_process_killed_is_replaced_and_jobs_are_answered_again(tmp_path: Path, catalog: Path) -> None:
    """Each process in turn is killed; the platform comes back by itself and answers a job."""
    with forebay_up(tmp_path / "data", catalog) as stack:
        for name in (*OURS, *EMBEDDED):
            killed = pids(stack)[name]
            os.kill(killed, signal.SIGKILL)
            wait_for(lambda name=name, killed=killed: pids(stack).get(name, killed) != killed)
            wait_for(lambda: is_ready(stack))
            finished(stack, submit(stack))


def test_job_longer_than_the_grace_is_handed_back_before_the_worker_is_killed(
    tmp_path: Path, catalog: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A stop takes its attempt away in good order, and the next start goes on with it."""
    prompt = " ".join([WORDS] * 5)
    with forebay_up(tmp_path / "data", catalog) as before:
        job_id = submit(before, prompt)
        wait_for(lambda: status(before, job_id) == "running")
    assert "killing it" not in capfd.readouterr().err
    with forebay_up(tmp_path / "data", catalog) as after:
        job = finished(after, job_id)
    assert job["result"]["text"] == prompt
    assert [attempt["how"] for attempt in job["attempts"]] == ["handed_back", "succeeded"]


@pytest.mark.parametrize(("beside", "served"), [("echo", ["my-model", "echo"]), ("none", ["my-model"])])
def test_file_that_is_given_serves_the_jobs_that_name_no_model(
    tmp_path: Path, catalog: Path, beside: str, served: list[str]
) -> None:
    """Beside those of the catalogue that are wanted, or instead of them."""
    file = tmp_path / "-my 'model'\n.gguf"
    file.symlink_to(ROOT / "models" / "demo-Q8_0.gguf")
    options = ["--models", beside, "--model", str(file)]
    with forebay_up(tmp_path / "data", catalog, *options) as stack:
        assert [model["id"] for model in ask(stack, "GET", "/v1/models").json()["data"]] == served
        request = {"type": "chat", "input": {"messages": [{"role": "user", "content": "Tell me a story about Anna."}]}}
        job = finished(stack, ask(stack, "POST", "/v1/jobs", json=request).json()["id"])
    assert (job["model"], "Anna" in job["result"]["message"]["content"]) == ("my-model", True)
