"""Lanes and Flower, on a platform with a single slot that one job keeps busy."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Stack, forebay_up, free_port

CATALOG = """
[one]
engine = "echo"
context = 4096
slots = 1
types = ["generate"]
options = { token_s = 0.05 }
"""
SECRET_WORD = "cinnabar"


@pytest.fixture(scope="module")
def flower_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory, flower_port: int) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("single")
    catalog = folder / "catalog.toml"
    catalog.write_text(CATALOG)
    with forebay_up(folder / "data", catalog, "--flower-port", str(flower_port)) as stack:
        yield stack


def submit(stack: Stack, words: int, **more: Any) -> str:
    job = {"type": "generate", "input": {"prompt": f"{SECRET_WORD} " * words}, "params": {"temperature": 0}, **more}
    answer = httpx.post(f"{stack.url}/v1/jobs", json=job, headers={"Authorization": f"Bearer {stack.key}"})
    return str(answer.json()["id"])


def record(stack: Stack, job_id: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {stack.key}"}
    return dict(httpx.get(f"{stack.url}/v1/jobs/{job_id}?wait=60", headers=headers, timeout=70).json())


def test_interactive_job_overtakes_batch_work_that_was_dispatched_before_it(single: Stack) -> None:
    """Both wait in Redis behind a busy slot: the interactive lane is emptied first."""
    submit(single, 20)
    batch = [submit(single, 2, lane="batch") for _ in range(2)]
    interactive = submit(single, 2)
    started = {job_id: record(single, job_id)["started_at"] for job_id in (*batch, interactive)}
    assert min(started, key=lambda job_id: started[job_id]) == interactive


def test_flower_shows_workers_and_tasks_but_no_prompt(single: Stack, flower_port: int) -> None:
    """Behind basic auth: the worker, its queues, each task with its job id, and nothing of what was said."""
    url = f"http://127.0.0.1:{flower_port}"
    assert httpx.get(f"{url}/api/tasks").status_code == 401
    assert httpx.get(f"{url}/workers").status_code == 401
    secrets = json.loads((single.data / "secrets.json").read_text())
    auth = ("forebay", next(secrets[name] for name in secrets if "flower" in name))
    deadline = time.monotonic() + 30
    job_id, tasks = "job_none", ""
    while job_id not in tasks:  # workers tell what they do once Flower has asked for it
        assert time.monotonic() < deadline, tasks
        job_id = submit(single, 1)
        record(single, job_id)
        time.sleep(0.5)
        tasks = httpx.get(f"{url}/api/tasks", auth=auth).text
    workers = httpx.get(f"{url}/api/workers?refresh=1", auth=auth, timeout=30).text
    assert "one.interactive" in workers
    assert SECRET_WORD not in tasks + workers


def test_prompts_are_in_no_log(single: Stack) -> None:
    """Neither our logs nor Celery's, PostgreSQL's or Flower's quote what a tenant said."""
    record(single, submit(single, 3))
    logs = [Path(folder) / name for folder, _, names in os.walk(single.data / "logs") for name in names]
    assert logs
    assert not [log for log in logs if SECRET_WORD in log.read_text(errors="replace")]
