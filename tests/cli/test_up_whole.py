"""`forebay up` with everything it starts, killed in every way."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support import catalogs
from tests.support.platform import ROOT, Stack, forebay_up, is_gone
from tests.support.waiting import until

CATALOG = catalogs.echo(types="generate", slots=2, options={"token_s": 0.05})
WORDS = " ".join(f"word{n}" for n in range(30))
EMBEDDED = ["postgres", "redis"]
OURS = ["api", "control", "worker-echo"]


def ask(stack: Stack, method: str, path: str, **more: Any) -> httpx.Response:
    return httpx.request(method, f"{stack.url}{path}", headers=stack.headers, timeout=70, **more)


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


def family(stack: Stack) -> list[psutil.Process]:
    return [psutil.Process(stack.process.pid), *psutil.Process(stack.process.pid).children(recursive=True)]


def all_gone(processes: list[psutil.Process]) -> bool:
    return all(map(is_gone, processes))


def test_everything_killed_starts_again_and_goes_on(tmp_path: Path) -> None:
    """After `kill -9` of all, the next start has the same key, finds old jobs and finishes the unfinished.

    `kill -9` of its launcher alone then takes everything along.
    """
    with forebay_up(tmp_path / "data", CATALOG) as before:
        old = finished(before, submit(before))
        running = submit(before)
        until(lambda: status(before, running) == "running")
        everyone = family(before)
        for process in everyone:
            with suppress(psutil.NoSuchProcess):  # the launcher's death takes the others along
                process.kill()
        until(lambda: all_gone(everyone))
    with forebay_up(tmp_path / "data", CATALOG) as after:
        assert after.key == before.key
        assert ask(after, "GET", f"/v1/jobs/{old['id']}").json()["result"] == old["result"]
        assert finished(after, running)["result"]["text"] == WORDS
        everyone = family(after)
        after.process.kill()
        until(lambda: all_gone(everyone))


def test_any_process_killed_is_replaced_and_jobs_are_answered_again(tmp_path: Path) -> None:
    """Each process in turn is killed; the platform comes back by itself and answers a job.

    All that stdout ever said is one line, and after SIGINT the status is 0 and no process is left.
    """
    with forebay_up(tmp_path / "data", CATALOG) as stack:
        assert set(stack.pids()) == {*EMBEDDED, *OURS}
        for name in (*OURS, *EMBEDDED):
            killed = stack.pids()[name]
            os.kill(killed, signal.SIGKILL)
            until(lambda name=name, killed=killed: stack.pids().get(name, killed) != killed)
            until(lambda: is_ready(stack))
            finished(stack, submit(stack))
        everyone = family(stack)
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.stdout is not None
        assert stack.process.stdout.read() == ""
        assert stack.process.wait() == 0
        assert all_gone(everyone)


def test_job_longer_than_the_grace_is_handed_back_before_the_worker_is_killed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A stop takes its attempt away in good order, and the next start goes on with it."""
    prompt = " ".join([WORDS] * 5)
    with forebay_up(tmp_path / "data", CATALOG) as before:
        job_id = submit(before, prompt)
        until(lambda: status(before, job_id) == "running")
    assert "killing it" not in capfd.readouterr().err
    with forebay_up(tmp_path / "data", CATALOG) as after:
        job = finished(after, job_id)
    assert job["result"]["text"] == prompt
    assert [attempt["how"] for attempt in job["attempts"]] == ["handed_back", "succeeded"]


@pytest.mark.parametrize(("beside", "served"), [("echo", ["my-model", "echo"]), ("none", ["my-model"])])
def test_file_that_is_given_serves_the_jobs_that_name_no_model(tmp_path: Path, beside: str, served: list[str]) -> None:
    """Beside those of the catalogue that are wanted, or instead of them."""
    file = tmp_path / "-my 'model'\n.gguf"
    file.symlink_to(ROOT / "models" / "demo-Q8_0.gguf")
    options = ["--models", beside, "--model", str(file)]
    with forebay_up(tmp_path / "data", CATALOG, *options) as stack:
        assert [model["id"] for model in ask(stack, "GET", "/v1/models").json()["data"]] == served
        request = {"type": "chat", "input": {"messages": [{"role": "user", "content": "Tell me a story about Anna."}]}}
        job = finished(stack, ask(stack, "POST", "/v1/jobs", json=request).json()["id"])
    assert (job["model"], "Anna" in job["result"]["message"]["content"]) == ("my-model", True)
