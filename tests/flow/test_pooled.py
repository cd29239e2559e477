"""The whole platform through a PgBouncer, which has fewer connections to PostgreSQL than it has clients."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from cli.main import main
from tests.support import catalogs, databases
from tests.support.bouncers import bouncer
from tests.support.platform import Stack, forebay_up

_CATALOG = catalogs.echo("echo", slots=2, default=True) + catalogs.echo("embedder", "embed", slots=2)
_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Pooled:
    """A platform, and the URL by which it reaches its database where it can't be through the pooler."""

    stack: Stack
    direct: str

    def key_of_another(self) -> str:
        """A key for a tenant that nobody has heard of."""
        keys = ["keys", "create", "--tenant", "theirs", "--data", str(self.stack.data), "--database-url", self.direct]
        return CliRunner().invoke(main, keys, catch_exceptions=False).stdout.strip().splitlines()[-1]


@pytest.fixture
def pooled(postgres_url: str, tmp_path: Path) -> Iterator[Pooled]:
    """`forebay up` on a database of its own, through connections that are given out by the transaction."""
    with (
        databases.beside(postgres_url, "pooled") as direct,
        bouncer(direct, tmp_path, "transaction", _CONNECTIONS) as url,
    ):
        settings = {
            "FOREBAY_DATABASE_URL": url,
            "FOREBAY_DATABASE_POOLING": "transaction",
            "FOREBAY_DATABASE_DIRECT_URL": direct,
        }
        with forebay_up(tmp_path / "data", _CATALOG, **settings) as stack:
            yield Pooled(stack, direct)


def ended(http: httpx.Client, job_id: str) -> dict[str, Any]:
    return dict(http.get(f"/v1/jobs/{job_id}?wait=30").json())


def test_job_goes_its_whole_way_through_a_pooler(pooled: Pooled) -> None:
    """Submitted, streamed, written down; put off, and found by the sweep; documents brought and found by their tenant
    alone. Nothing of it is told as a fault."""
    with httpx.Client(base_url=pooled.stack.url, headers=pooled.stack.headers, timeout=60) as http:
        later = {"type": "generate", "input": {"prompt": "late"}, "run_at": _in_a_second()}
        put_off = http.post("/v1/jobs", json=later).json()["id"]
        many = [
            http.post("/v1/jobs", json={"type": "generate", "input": {"prompt": f"one two {n}"}}).json()["id"]
            for n in range(20)
        ]
        events = http.get(f"/v1/jobs/{many[-1]}/events").text
        assert "event: succeeded" in events
        assert {ended(http, job_id)["status"] for job_id in [*many, put_off]} == {"succeeded"}
        brought = http.post("/v1/documents", json={"collection": "books", "documents": [{"text": "a red fox"}]})
        assert ended(http, brought.json()["id"])["status"] == "succeeded", brought.text
        search = {"collection": "books", "query": "a red fox"}
        [found] = http.post("/v1/search", json=search).json()["results"]
        assert found["text"] == "a red fox"
        theirs = {"Authorization": f"Bearer {pooled.key_of_another()}"}
        assert http.post("/v1/search", json=search, headers=theirs).status_code == 404
        assert http.get(f"/v1/jobs/{many[0]}", headers=theirs).status_code == 404
        logs = "".join(file.read_text() for file in (pooled.stack.data / "logs").glob("*.log"))
        assert "level=error" not in logs
        assert "interrupted" not in logs, logs


def _in_a_second() -> str:
    return (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
