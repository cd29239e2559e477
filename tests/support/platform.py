"""Real servers and whole platforms, made in a folder and gone with the block. What won't start fails the test."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from cli.launcher import embedded, processes
from tests.support import waiting

ROOT = Path(__file__).parents[2]
START_LIMIT_S = 60.0

# Receivers of webhooks that tests run are on this machine, without TLS.
RECEIVERS_HERE = {"FOREBAY_WEBHOOK_HTTP": "true", "FOREBAY_WEBHOOK_NETWORKS": "127.0.0.0/8"}


@dataclass(frozen=True, slots=True)
class Stack:
    """A `forebay up` that runs: where its API is, a key for it, its folder, its catalogue, and its process."""

    url: str
    key: str
    data: Path
    catalog: Path
    process: "subprocess.Popen[str]"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def pids(self) -> dict[str, int]:
        """What it has started, by name."""
        note = json.loads((self.data / "run.json").read_text())
        return {entry["name"]: entry["pid"] for entry in note["processes"]}

    def started(self, name: str) -> psutil.Process:
        """The process that runs under this name by now."""
        return psutil.Process(self.pids()[name])


@contextmanager
def forebay_up(data: Path, catalog: str, *options: str, **settings: str) -> Iterator[Stack]:
    """Runs `forebay up` without Flower for as long as the block does, on a port that was free.

    `settings` are those of its environment beside the tests' own.
    """
    port, file = free_port(), data.with_name("catalog.toml")
    file.write_text(catalog)
    argv = [sys.executable, "-m", "cli", "up", "--data", str(data), "--port", str(port), "--flower-port", "0"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    with subprocess.Popen(
        [*argv, *options],
        cwd=ROOT,
        env={**env, "FOREBAY_CATALOG": str(file), "FOREBAY_GRACE_S": "2", **RECEIVERS_HERE, **settings},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            too_late = threading.Timer(START_LIMIT_S, process.terminate)
            too_late.start()
            word, _, rest = process.stdout.readline().strip().partition(" ")
            too_late.cancel()
            assert word == "ready", f"`forebay up` ended with status {process.wait()}"
            told = dict(part.split("=", 1) for part in rest.split())
            yield Stack(told["url"], told["key"], data, file, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


@contextmanager
def running(folder: Path, make: Callable[[Path], embedded.Server]) -> Iterator[str]:
    """Runs one embedded server for as long as the block does; gives its URL."""
    with restartable(folder, make) as (url, _):
        yield url


@contextmanager
def restartable(folder: Path, make: Callable[[Path], embedded.Server]) -> Iterator[tuple[str, Callable[[], None]]]:
    """As `running`; gives also what stops the server and starts it again, and returns once it answers."""
    server = make(folder)
    supervisor = processes.Supervisor(folder, folder / "run.json", print)

    def answers() -> bool:
        supervisor.tend()
        return server.answers(supervisor.pid(server.spec.name))

    def start() -> None:
        supervisor.start(server.spec)
        waiting.until(answers, START_LIMIT_S)

    def restart() -> None:
        supervisor.stop(server.spec.name)
        start()

    try:
        start()
        yield server.url, restart
    finally:
        supervisor.stop(server.spec.name)


def forgetful_postgres(folder: Path) -> embedded.Server:
    """A PostgreSQL that waits for no disk: none of what tests write has to outlive a power cut.

    Whatever proves that something outlives a crash runs `forebay up` or a rig, whose PostgreSQL is as it is served.
    """
    server = embedded.postgres(folder)
    options = [part for name in ("fsync", "synchronous_commit", "full_page_writes") for part in ("-c", f"{name}=off")]
    return replace(server, spec=replace(server.spec, argv=(*server.spec.argv, *options)))


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended; who started it may still have to take note."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def free_port() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
