"""A gunicorn that serves the API, for tests of what only it can show."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import httpx
import psutil

from tests import tables
from tests.support import waiting
from tests.support.platform import ROOT, free_port
from webapi.settings import Settings


@dataclass(frozen=True, slots=True)
class Served:
    """A gunicorn that runs, and a client with a key for it."""

    process: "subprocess.Popen[bytes]"
    port: int
    key: str
    client: httpx.Client

    @property
    def worker(self) -> psutil.Process:
        """The process that answers, or the first of those; the other only watches it."""
        return psutil.Process(self.process.pid).children()[0]

    def connections(self) -> int:
        """How many the process that answers holds open."""
        return sum(one.status == psutil.CONN_ESTABLISHED for one in self.worker.net_connections("tcp"))

    @contextmanager
    def known(self, key: str) -> Iterator["Served"]:
        """This gunicorn, asked with another key."""
        with _client(self.port, key) as http:
            yield Served(self.process, self.port, key, http)

    def submit(self, **changes: Any) -> str:
        job = {"type": "generate", "input": {"prompt": "one"}, **changes}
        response = self.client.post("/v1/jobs", json=job)
        assert response.status_code == 202
        return str(response.json()["id"])


@contextmanager
def gunicorn(
    settings: Settings, key: str, log: IO[bytes] | None = None, processes: int = 1, **limits_s: float
) -> Iterator[Served]:
    """Runs one for as long as the block does; its log goes into the file, or where the test's goes.

    `limits_s` are `head`, `silent` and `unread`.
    """
    port = free_port()
    env = {
        **os.environ,
        "FOREBAY_DATABASE_URL": settings.shared.database_url,
        "FOREBAY_REDIS_URL": settings.shared.redis_url,
        "FOREBAY_KEY_PEPPER": tables.PEPPER,
        "FOREBAY_WEBHOOK_KEY": tables.WEBHOOK_KEY,
        "FOREBAY_CATALOG": str(settings.shared.catalog),
        "FOREBAY_API_PROCESSES": str(processes),
        **{f"FOREBAY_API_{name.upper()}_S": str(limit_s) for name, limit_s in limits_s.items()},
    }
    argv = ["gunicorn", "-c", "webapi/gunicorn_conf.py", "--bind", f"127.0.0.1:{port}", "webapi.app:create_app()"]
    with subprocess.Popen([sys.executable, "-m", *argv], cwd=ROOT, env=env, stderr=log) as process:
        try:
            with _client(port, key) as http:
                waiting.until(lambda: _answers(http))
                yield Served(process, port, key, http)
        finally:
            process.terminate()
            process.wait(60)


def _client(port: int, key: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30)


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
