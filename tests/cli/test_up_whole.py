"""`forebay up` with everything it starts, ended in every way."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from click.testing import CliRunner

from cli.main import main
from tests.support import catalogs
from tests.support.platform import ROOT, Stack, forebay_up, is_gone
from tests.support.waiting import until

WORDS = " ".join(f"word{n}" for n in range(30))
EMBEDDED = ["postgres", "redis"]
OURS = ["api", "control", "worker-my-model"]


def catalog(*names: str, token_s: float) -> str:
    return "".join(catalogs.echo(name, "generate", slots=2, options={"token_s": token_s}) for name in names)


def odd_file(folder: Path) -> Path:
    """A model whose file has a name that no model can have: it is served as `my-model`."""
    file = folder / "-my 'model'\n.gguf"
    file.symlink_to(ROOT / "models" / "demo-Q8_0.gguf")
    return file


def ask(stack: Stack, method: str, path: str, **more: Any) -> httpx.Response:
    return httpx.request(method, f"{stack.url}{path}", headers=stack.headers, timeout=70, **more)


def submit(stack: Stack, **job: Any) -> str:
    answer = ask(stack, "POST", "/v1/jobs", json={"type": "generate", "params": {"temperature": 0}, **job})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def repeat(stack: Stack, model: str = "echo") -> str:
    return submit(stack, model=model, input={"prompt": WORDS})


def status(stack: Stack, job_id: str) -> str:
    return str(ask(stack, "GET", f"/v1/jobs/{job_id}").json()["status"])


def finished(stack: Stack, job_id: str) -> dict[str, Any]:
    job = ask(stack, "GET", f"/v1/jobs/{job_id}?wait=60").json()
    assert job["status"] == "succeeded", job
    return dict(job)


def is_ready(stack: Stack) -> bool:
    try:
        answer = httpx.get(f"{stack.url}/readyz", timeout=70)
    except httpx.TransportError:
        return False
    parts = answer.json()["parts"]
    return bool(answer.status_code == 200 and parts["redis"] == "ok" and parts["workers"]["my-model"] >= 1)


def family(stack: Stack) -> list[psutil.Process]:
    return [psutil.Process(stack.process.pid), *psutil.Process(stack.process.pid).children(recursive=True)]


def all_gone(processes: list[psutil.Process]) -> bool:
    return all(map(is_gone, processes))


@dataclass(slots=True)
class Asked:
    """A platform's key, what a job of it ended with, and the ids of jobs that it began."""

    key: str
    ended: dict[str, Any]
    handed_back: str
    kept: str
    forsaken: str
    killed: str = ""


def levels(data: Path) -> set[str]:
    """How a doctor finds each part of what runs with the folder, in an environment that says nothing of it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    argv = [sys.executable, "-m", "cli", "doctor", "--data", str(data), "--json"]
    done = subprocess.run(argv, cwd=ROOT, env=own, stdout=subprocess.PIPE, check=False)
    return {finding["level"] for finding in json.loads(done.stdout)}


def stopped(data: Path) -> Asked:
    """Started with three models that are in no hurry, and interrupted while each has a job: all that stdout ever said
    is one line, the status is 0, and no process is left."""
    with forebay_up(data, catalog("echo", "old", "older", token_s=1.0)) as stack:
        ended = finished(stack, submit(stack, model="echo", input={"prompt": "one"}))
        assert "wrong" not in levels(data)
        asked = Asked(stack.key, ended, repeat(stack), repeat(stack, "old"), repeat(stack, "older"))
        until(lambda: status(stack, asked.handed_back) == "running")
        everyone = family(stack)
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.stdout is not None
        assert stack.process.stdout.read() == ""
        assert stack.process.wait() == 0
        assert all_gone(everyone)
    return asked


def killed(data: Path, asked: Asked) -> None:
    """Started again without two of the models: key and jobs are there, what ran goes on, what has no model waits or is
    ended by an operator. Then `kill -9` of everything."""
    with forebay_up(data, catalog("echo", token_s=0.05)) as stack:
        assert stack.key == asked.key
        assert ask(stack, "GET", f"/v1/jobs/{asked.ended['id']}").json()["result"] == asked.ended["result"]
        job = finished(stack, asked.handed_back)
        assert job["result"]["text"] == WORDS
        assert [attempt["how"] for attempt in job["attempts"]] == ["handed_back", "succeeded"]
        end = ["jobs", "end", "--model", "older", "--data", str(data)]
        assert CliRunner().invoke(main, end).stdout == "1 ended\n"
        forsaken = ask(stack, "GET", f"/v1/jobs/{asked.forsaken}").json()
        assert (forsaken["status"], forsaken["error"]["code"]) == ("failed", "model_removed")
        assert status(stack, asked.kept) == "queued"
        asked.killed = repeat(stack)
        until(lambda: status(stack, asked.killed) != "queued")
        everyone = family(stack)
        for process in everyone:
            with suppress(psutil.NoSuchProcess):  # the launcher's death takes the others along
                process.kill()
        until(lambda: all_gone(everyone))


def goes_on(data: Path, asked: Asked, file: Path) -> None:
    """Started with the models again, beside a file that is the default: all jobs come to their ends. Then `kill -9` of
    the launcher alone takes everything along."""
    options = ["--models", "echo,old", "--model", str(file)]
    with forebay_up(data, catalog("echo", "old", "older", token_s=0.01), *options) as stack:
        assert [model["id"] for model in ask(stack, "GET", "/v1/models").json()["data"]] == ["my-model", "echo", "old"]
        assert [finished(stack, job)["result"]["text"] for job in (asked.killed, asked.kept)] == [WORDS, WORDS]
        assert status(stack, asked.forsaken) == "failed"
        story = submit(stack, input={"prompt": "One day"}, params={"temperature": 0, "max_tokens": 4})
        assert finished(stack, story)["model"] == "my-model"
        everyone = family(stack)
        stack.process.kill()
        until(lambda: all_gone(everyone))


def test_jobs_outlive_each_end_of_the_platform(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Three starts on one folder: no job is lost, and whoever removes a model from the catalogue loses none by it.

    A stop takes attempts away in good order; nobody has to be killed for it.
    """
    asked = stopped(tmp_path / "data")
    assert "killing it" not in capfd.readouterr().err
    killed(tmp_path / "data", asked)
    goes_on(tmp_path / "data", asked, odd_file(tmp_path))


def test_any_process_killed_is_replaced_and_jobs_are_answered_again(tmp_path: Path) -> None:
    """Each process in turn is killed; the platform comes back by itself and answers a job.

    It serves a file and nothing of the catalogue, to whoever names no model.
    """
    options = ["--models", "none", "--model", str(odd_file(tmp_path))]
    story = [{"role": "user", "content": "Tell me a story about Anna."}]
    with forebay_up(tmp_path / "data", catalog("echo", token_s=0.05), *options) as stack:
        assert set(stack.pids()) == {*EMBEDDED, *OURS}
        assert [model["id"] for model in ask(stack, "GET", "/v1/models").json()["data"]] == ["my-model"]
        for name in (*OURS, *EMBEDDED):
            before = stack.pids()[name]
            os.kill(before, signal.SIGKILL)
            until(lambda name=name, before=before: stack.pids().get(name, before) != before)
            until(lambda: is_ready(stack))
            job = finished(stack, submit(stack, type="chat", input={"messages": story}))
            assert "Anna" in job["result"]["message"]["content"]
