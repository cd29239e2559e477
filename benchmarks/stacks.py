"""A `forebay up` to measure: started in a temporary folder, asked over HTTP, looked at from outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy import Engine

from cli.launcher import embedded, processes
from db import migrate
from db import session as db_session

ROOT = Path(__file__).parent.parent
HOST_MODULE = "workers.engines.llamacpp_host"


@dataclass(frozen=True, slots=True)
class Stack:
    """One that runs: where its API is, a key for it, its folder, and the launcher's process id."""

    address: tuple[str, int]
    key: str
    data: Path
    pid: int

    def roles(self) -> dict[str, list[psutil.Process]]:
        """The processes by what they are: `postgres`, `redis`, `api`, `control`, `worker`, `engine host` …"""
        note = json.loads((self.data / "run.json").read_text())
        roles: dict[str, list[psutil.Process]] = {"launcher": [psutil.Process(self.pid)]}
        for entry in note["processes"]:
            leader = psutil.Process(entry["pid"])
            family = [leader, *leader.children(recursive=True)]
            hosts = [process for process in family if _is_host(process)]
            roles[entry["name"]] = [process for process in family if process not in hosts]
            if hosts:
                roles["engine host of " + entry["name"]] = hosts
        return roles

    def environment(self, name: str) -> str:
        """A setting as the API process was given it."""
        return self.roles()["api"][0].environ()[name]

    def query(self, statement: str, *values: Any) -> Any:
        """The first row of a statement run on the platform's PostgreSQL."""
        with psycopg.connect(self.environment("FOREBAY_DATABASE_URL"), autocommit=True) as connection:
            return connection.execute(statement.encode(), values).fetchone()


@contextmanager
def postgres(folder: Path) -> Iterator[Engine]:
    """One connection to a PostgreSQL of our own with our tables, for as long as the block runs."""
    folder.chmod(0o755)
    server = embedded.postgres(folder)
    supervisor = processes.Supervisor(folder, folder / "run.json", print)
    supervisor.start(server.spec)
    try:
        while not server.answers(supervisor.pid(server.spec.name)):
            supervisor.tend()
            time.sleep(0.05)
        migrate.upgrade(server.url)
        engine = db_session.open_engine(server.url, pool_size=1, statement_timeout_s=1800)
        yield engine
        engine.dispose()
    finally:
        supervisor.stop(server.spec.name)


@contextmanager
def platform(folder: Path, catalog: str, *options: str, root: Path = ROOT, **settings: str) -> Iterator[Stack]:
    """Runs `forebay up` with this catalogue, and settings by their names, for as long as the block does.

    `root` is a working copy of the version that is to run.
    """
    folder.mkdir(parents=True)
    file = folder / "catalog.toml"
    file.write_text(catalog)
    port = free_port()
    argv = [sys.executable, "-m", "cli", "up", "--data", str(folder / "data"), "--port", str(port)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    with subprocess.Popen(
        [*argv, *(options or ("--flower-port", "0"))],
        cwd=root,
        env={**env, "PYTHONPATH": str(root), "FOREBAY_CATALOG": str(file), "FOREBAY_GRACE_S": "1", **settings},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            word, _, rest = process.stdout.readline().strip().partition(" ")
            if word != "ready":
                raise RuntimeError(f"`forebay up` ended with status {process.wait()}")
            told = dict(part.split("=", 1) for part in rest.split())
            url = urllib.parse.urlsplit(told["url"])
            yield Stack((url.hostname or "", url.port or 0), told["key"], folder / "data", process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def free_port() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(roles: dict[str, list[psutil.Process]]) -> dict[str, float]:
    """The CPU seconds each role has used so far."""
    return {role: sum(_spent(process) for process in processes) for role, processes in roles.items()}


def engine_host(worker: psutil.Process) -> psutil.Process:
    """The process in which the worker's model is. Raises `StopIteration` while there is none."""
    return next(child for child in worker.children() if _is_host(child))


def _is_host(process: psutil.Process) -> bool:
    try:
        return HOST_MODULE in process.cmdline()
    except psutil.NoSuchProcess:  # PostgreSQL's children come and go
        return False


def _spent(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
