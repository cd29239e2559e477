"""A platform to break: a real model, slow enough to be caught in the middle, behind everything `forebay up` starts."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest
import redis
from sqlalchemy import create_engine, text

from benchmarks import random_gguf
from benchmarks.stacks import HOST_MODULE
from tests.conftest import EMBEDDING_MODEL, Stack, forebay_up

CATALOG = """
[slow]
engine = "llamacpp"
file = "{file}"
context = 1024
slots = 2
types = ["generate", "chat"]

[demo-embed]
engine = "llamacpp"
file = "{embedding_model}"
context = 512
slots = 4
types = ["embed"]
optional = true
"""
PROMPT = "the sun is on the hill"
LIMIT_S = 90


@dataclass(slots=True)
class Reader:
    """A client that follows a job's stream to its end, in a thread; `seen` is (number, event, data)."""

    stack: Stack
    job_id: str
    after: int = 0
    last_id: str = ""
    seen: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    _thread: threading.Thread | None = None

    def start(self) -> "Reader":
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        return self

    def until(self, deltas: int) -> None:
        """Waits until so many deltas have come."""
        eventually(lambda: len(self.deltas()) >= deltas)

    def whole(self) -> "Reader":
        """Waits for the end."""
        assert self._thread is not None
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), self.seen[-3:]
        return self

    def deltas(self) -> list[str]:
        return [data["text"] for _, event, data in self.seen if event == "delta"]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [data for _, event, data in self.seen if event == kind]

    def numbers(self) -> list[int]:
        return [number for number, _, _ in self.seen]

    def _follow(self) -> None:
        headers = {"Authorization": f"Bearer {self.stack.key}"}
        while not (self.seen and self.seen[-1][1] in ("succeeded", "failed", "cancelled")):
            url = f"{self.stack.url}/v1/jobs/{self.job_id}/events?after={self.last_id or self.after}"
            with httpx.stream("GET", url, headers=headers, timeout=LIMIT_S) as answer:
                assert answer.status_code == 200
                self._read(answer.iter_lines())

    def _read(self, lines: Iterator[str]) -> None:
        event: dict[str, str] = {}
        for line in lines:
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = value
            elif not line and "id" in event:
                self.last_id = event["id"]
                number = int(event["id"].split("-")[1])
                self.seen.append((number, event["event"], json.loads(event["data"])))
                event = {}
            elif not line:
                event = {}


@dataclass(frozen=True, slots=True)
class Platform:
    """The stack, and the handles by which it is broken."""

    stack: Stack
    redis: redis.Redis

    def submit(self, **params: Any) -> Reader:
        """A job of 250 tokens, and a reader that follows it."""
        job = {"type": "generate", "input": {"prompt": PROMPT}, "params": {"max_tokens": 250, **params}}
        return self.post("/v1/jobs", json=job)

    def post(self, path: str, **body: Any) -> Reader:
        """Any job, and a reader that follows it."""
        answer = httpx.post(f"{self.stack.url}{path}", headers=self.headers, timeout=30, **body)
        assert answer.status_code == 202, answer.text
        return Reader(self.stack, answer.json()["id"]).start()

    def job(self, reader: Reader) -> dict[str, Any]:
        answer = httpx.get(f"{self.stack.url}/v1/jobs/{reader.job_id}?wait=60", headers=self.headers, timeout=LIMIT_S)
        return dict(answer.json())

    def cancel(self, reader: Reader) -> None:
        httpx.post(
            f"{self.stack.url}/v1/jobs/{reader.job_id}/cancel", headers=self.headers, timeout=30
        ).raise_for_status()

    def worker(self, name: str = "worker-slow") -> psutil.Process:
        note = json.loads((self.stack.data / "run.json").read_text())
        return psutil.Process(next(entry["pid"] for entry in note["processes"] if entry["name"] == name))

    def host(self, name: str = "worker-slow") -> psutil.Process:
        """The engine host of a worker, which has other children too."""
        return next(child for child in self.worker(name).children() if HOST_MODULE in child.cmdline())

    def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """What PostgreSQL itself says."""
        engine = create_engine(f"postgresql+psycopg://postgres@/postgres?host={self.stack.data}/postgres")
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(text(statement), values)]
        engine.dispose()
        return found

    def await_worker(self, model: str = "slow") -> None:
        """Waits until a worker of the model is alive again."""
        eventually(lambda: httpx.get(f"{self.stack.url}/readyz", timeout=10).json()["parts"]["workers"][model] == 1)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.stack.key}"}


def eventually(met: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not met():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("faults")
    file = random_gguf.write(folder / "slow.gguf", random_gguf.SHAPES["small"])
    catalog = folder / "catalog.toml"
    catalog.write_text(CATALOG.format(file=file, embedding_model=EMBEDDING_MODEL))
    with forebay_up(folder / "data", catalog) as stack:
        client = redis.Redis(unix_socket_path=str(stack.data / "redis" / "redis.sock"))
        yield Platform(stack, client)
        client.close()
