"""Flower as we start it, a process of its own beside a real Redis."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from celery import Celery

from cli.launcher import lineup
from tasks.queues import broker
from tests.support.platform import free_port
from tests.support.waiting import until

LOGIN = ("forebay", "a password")
REMEMBERED = 30

# Prints what Flower makes of a command line: it reads it a second time, in its own way.
READ = """
import sys
from flower import command
command.apply_options("flower", sys.argv[1:])
print(command.options.port, command.options.read_only, command.options.max_tasks)
"""

# A worker that nothing is sent to: it says which queues it has.
WORKER = """
import sys
from celery import Celery
from tasks.queues import broker
app = Celery(set_as_current=False)
app.conf.update(broker.configuration(sys.argv[1], timeout_s=5))
app.worker_main(["worker", "-P", "solo", "-Q", "alpha.interactive,alpha.batch", "-n", "alpha@here"])
"""


@pytest.fixture(scope="module")
def flower(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a Flower that remembers few tasks, with its password."""
    port = free_port()
    urls = {"FOREBAY_REDIS_URL": redis_url, "FOREBAY_DATABASE_URL": "postgresql://nobody@nowhere/none"}
    spec = lineup.flower(port, {**os.environ, **urls, "FLOWER_BASIC_AUTH": ":".join(LOGIN)})
    argv = [f"--max-tasks={REMEMBERED}" if part.startswith("--max-tasks") else part for part in spec.argv]
    log = tmp_path_factory.mktemp("flower") / "log"
    with log.open("wb") as out, subprocess.Popen(argv, env=spec.env, cwd=spec.cwd, stdout=out, stderr=out) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=LOGIN, timeout=20) as client:
                until(lambda: answers(client), look_s=0.1)
                yield client
        finally:
            process.terminate()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthcheck").text == "OK"
    except httpx.TransportError:
        return False


def test_flower_takes_every_option_that_it_is_started_with() -> None:
    """What it doesn't know it would skip without a word, and remember ten times as much."""
    options = [part for part in lineup.flower(5556, {}).argv if part.startswith("--")]
    read = subprocess.run([sys.executable, "-c", READ, *options], capture_output=True, text=True, check=True)
    assert read.stdout.split() == ["5556", "True", str(lineup.FLOWER_TASKS)]


@pytest.mark.parametrize("path", ["/metrics", "/healthcheck", "/tasks", "/api/tasks"])
def test_flower_tells_nothing_without_its_password(flower: httpx.Client, path: str) -> None:
    """Not even that it is well, but for answering at all."""
    for login in (None, ("forebay", "wrong")):
        assert httpx.get(flower.base_url.join(path), auth=login).status_code == 401
    assert flower.get(path).status_code == 200


@pytest.fixture(scope="module")
def events(redis_url: str, flower: httpx.Client) -> Iterator[Any]:
    """What a worker tells Flower by; Flower hears it already, the task `job_first` among it."""
    app = Celery(set_as_current=False)
    app.conf.update(broker.configuration(redis_url, timeout_s=5))

    def heard(events: Any) -> bool:
        events.send("task-received", uuid="job_first", name="job.run")
        return "job_first" in flower.get("/api/tasks").json()

    with app.connection_for_write() as connection, app.events.Dispatcher(connection, hostname="one@here") as events:
        until(lambda: heard(events), look_s=0.2)
        yield events


@pytest.mark.usefixtures("events")
def test_pages_of_tasks_say_what_they_do_not_show(flower: httpx.Client) -> None:
    """The note is put into Flower's own templates, which a later version may write in another way."""
    for path in ("/tasks", "/task/job_first"):
        assert "Not shown are jobs that wait" in flower.get(path).text
    assert "Not shown" not in flower.get("/workers").text
    assert 'data-column="result"' in flower.get("/tasks").text


def test_flower_forgets_all_but_the_newest_tasks(flower: httpx.Client, events: Any) -> None:
    """However many there were: its memory ends with `--max-tasks`. Failed ones are shown as such."""
    ran = [f"job_{number}" for number in range(3 * REMEMBERED)]
    for job in ran:
        events.send("task-received", uuid=job, name="job.run", args=f"['{job}']", kwargs="{}")
        events.send("task-failed", uuid=job, exception="poison", result="poison")
    until(lambda: flower.get("/api/tasks").json().get(ran[-1], {}).get("state") == "FAILURE", look_s=0.1)
    kept = flower.get("/api/tasks").json()
    assert set(kept) == set(ran[-REMEMBERED:])
    assert {(task["state"], task["result"]) for task in kept.values()} == {("FAILURE", "poison")}


def test_queues_of_workers_that_came_after_flower_are_told(
    flower: httpx.Client, redis_url: str, client: redis.Redis, tmp_path: Path
) -> None:
    """With how many messages each has. Flower asks workers when it starts, and else only who looks at them."""
    argv = [sys.executable, "-c", WORKER, redis_url]
    with (
        (tmp_path / "log").open("wb") as out,
        subprocess.Popen(argv, cwd=lineup.ROOT, stdout=out, stderr=out) as worker,
    ):
        try:
            until(lambda: "alpha.batch" in flower.get("/api/queues/length").text, look_s=0.2)
        finally:
            worker.kill()
    client.lpush(broker.KEY_PREFIX + "alpha.batch", "for nobody")
    assert {"name": "alpha.batch", "messages": 1} in flower.get("/api/queues/length").json()["active_queues"]
    page = flower.get("/broker").text
    assert "alpha.interactive" in page
    assert "others wait in PostgreSQL" in page
