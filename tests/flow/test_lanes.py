"""Lanes and what Flower shows of them, on a model with a single slot that one job keeps busy."""

import os
from pathlib import Path
from typing import Any

import httpx
import redis

from tests.flow.conftest import Walled
from tests.support.waiting import until

SECRET_WORD = "cinnabar"


def asked(words: int, **more: Any) -> dict[str, Any]:
    prompt = {"prompt": f"{SECRET_WORD} " * words}
    return {"type": "generate", "model": "one", "input": prompt, "params": {"temperature": 0}, **more}


def test_interactive_job_overtakes_batch_work_that_was_dispatched_before_it(walled: Walled) -> None:
    """Both wait in Redis behind a busy slot: the interactive lane is emptied first."""
    with redis.Redis.from_url(walled.setting("FOREBAY_REDIS_URL")) as client:

        def waiting_workers() -> int:
            return sum(one["cmd"] == "brpop" and "b" in one["flags"] for one in client.client_list())

        busy = walled.accepted(**asked(2000))
        until(lambda: walled.http.get(busy["links"]["self"]).json()["status"] == "running")
        until(lambda: waiting_workers() == 3)  # kombu asks for another message before it knows that it is busy
        batch = [walled.accepted(**asked(2), lane="batch") for _ in range(2)]
        until(lambda: client.llen("forebay:one.batch"))
        interactive = walled.accepted(**asked(2))
        until(lambda: client.llen("forebay:one.interactive"))
    assert walled.http.post(busy["links"]["cancel"]).json()["status"] == "cancelled"
    started = {job["id"]: walled.wait(job)["started_at"] for job in (*batch, interactive)}
    assert min(started, key=lambda job_id: started[job_id]) == interactive["id"]


def test_flower_shows_workers_and_tasks_but_no_prompt(walled: Walled) -> None:
    """Behind basic auth: the worker, its queues, each task with its job id, and nothing of what was said."""
    walled.await_flower()
    for path in ("/api/tasks", "/workers"):
        assert httpx.get(walled.flower.base_url.join(path)).status_code == 401

    def shown() -> str:
        """What it says of tasks, once it knows of one; workers tell what they do once Flower has asked for it."""
        job = walled.ended(**asked(1))
        tasks = walled.flower.get("/api/tasks").text
        return tasks if job["id"] in tasks else ""

    tasks = until(shown, look_s=0.2)
    workers = walled.flower.get("/api/workers?refresh=1").text
    assert "one.interactive" in workers
    assert SECRET_WORD not in tasks + workers


def test_flower_shows_a_job_that_did_not_succeed_as_such(walled: Walled) -> None:
    """With the reason, though its task ended as well as any; and one that was cancelled as revoked."""
    walled.await_flower()

    def shown(job: dict[str, Any]) -> tuple[str, str] | None:
        task = walled.flower.get("/api/tasks").json().get(job["id"])
        return (task["state"], task["result"]) if task else None

    def failed() -> bool:
        """Of one that comes before Flower asked to be told it hears nothing."""
        job = walled.ended(**asked(9000))
        assert job["error"]["code"] == "context_length_exceeded"
        return shown(job) == ("FAILURE", "context_length_exceeded")

    until(failed, look_s=0.5)
    cancelled = walled.accepted(**asked(2000))
    until(lambda: (shown(cancelled) or ("", ""))[0] == "STARTED", look_s=0.1)
    walled.http.post(cancelled["links"]["cancel"])
    until(lambda: shown(cancelled) == ("REVOKED", "cancelled"), look_s=0.1)


def test_prompts_are_in_no_log(walled: Walled) -> None:
    """Neither our logs nor Celery's, PostgreSQL's or Flower's quote what a tenant said."""
    walled.ended(**asked(3))
    logs = [Path(folder) / name for folder, _, names in os.walk(walled.stack.data / "logs") for name in names]
    assert logs
    assert not [log for log in logs if SECRET_WORD in log.read_text(errors="replace")]
