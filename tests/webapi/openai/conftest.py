"""OpenAI's own client of the platform that tests share, as any program would make it: a base URL and a key."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
import redis
from openai import OpenAI

from cli.launcher import embedded
from tasks.streams import stream
from tests.support.platform import Stack

CHAT = "demo-chat"
SLOW = "echo"  # says its prompt again, a token in 20 ms
EMBEDDER = "demo-embed"
PREFIXES = ("chatcmpl-", "cmpl-")


@pytest.fixture
def sdk(stack: Stack) -> Iterator[OpenAI]:
    """One that doesn't ask again: what a test sees is what was answered."""
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0, timeout=90) as client:
        yield client


@dataclass(frozen=True, slots=True)
class Jobs:
    """The platform's jobs, looked at as such."""

    stack: Stack

    def of(self, answer_id: str) -> dict[str, Any]:
        """The job behind an answer."""
        for prefix in PREFIXES:
            answer_id = answer_id.removeprefix(prefix)
        return self.get(f"job_{answer_id}")

    def get(self, job_id: str) -> dict[str, Any]:
        return self._ask(f"/v1/jobs/{job_id}")

    def noted(self, note: str) -> list[dict[str, Any]]:
        """Those whose calls had this note, the newest first."""
        newest = self._ask("/v1/jobs?limit=100")["data"]
        return [job for job in newest if job["metadata"].get("test") == note]

    def cancel(self, job_id: str) -> None:
        response = httpx.post(f"{self.stack.url}/v1/jobs/{job_id}/cancel", headers=self.stack.headers, timeout=30)
        assert response.status_code == 200, response.text

    def row(self, job_id: str, statement: str) -> Any:
        """The first row of a statement about the job, run on the platform's PostgreSQL."""
        with psycopg.connect(embedded.postgres_url(self.stack.data)) as connection:
            return connection.execute(statement.encode(), {"id": job_id.removeprefix("job_")}).fetchone()

    def rows_of(self, job_id: str) -> list[int]:
        """How many rows the job has in each table that keeps words of it, or tells of its attempts."""
        tables = {"jobs": "id", "job_outputs": "job_id", "job_checkpoints": "job_id", "job_attempts": "job_id"}
        counts = (f"(SELECT count(*) FROM {table} WHERE {column} = %(id)s::uuid)" for table, column in tables.items())
        return list(self.row(job_id, f"SELECT {', '.join(counts)}"))

    def has_stream(self, job_id: str) -> bool:
        with redis.Redis.from_url(embedded.redis_url(self.stack.data)) as client:
            return bool(client.exists(stream.key(uuid.UUID(job_id.removeprefix("job_")))))

    def _ask(self, path: str) -> dict[str, Any]:
        response = httpx.get(f"{self.stack.url}{path}", headers=self.stack.headers, timeout=30)
        assert response.status_code == 200, response.text
        return dict(response.json())


@pytest.fixture
def jobs(stack: Stack) -> Jobs:
    return Jobs(stack)
