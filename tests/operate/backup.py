"""A dump while everything runs, restored elsewhere, compared table by table and served, as docs/operating.md says."""

import httpx
import redis

from tests.operate import machines
from tests.operate.installation import PASSWORD, Installation
from tests.support import dumps

AGAIN = "again"
LEFT = "forebay:left"
_NIGHTLY = f"""
DROP ROLE IF EXISTS nightly;
CREATE ROLE nightly LOGIN PASSWORD '{PASSWORD}';
GRANT forebay_backup TO nightly;
"""


def restore(installation: Installation) -> str:
    """What isn't written to meanwhile must be equal to the last row, and the restored jobs be readable."""
    job_ids = [_made(installation, number) for number in range(8)]
    installation.sql(_NIGHTLY, "postgres")
    dump, there = installation.folder / "forebay.dump", installation.url("postgres")
    before = dumps.rows(there)
    dumps.dump(installation.url("nightly"), dump, "--role=forebay_backup")
    after = dumps.rows(there)
    installation.sql(f"CREATE DATABASE {AGAIN} OWNER forebay", "postgres", "postgres")
    dumps.restore(installation.url("postgres", AGAIN), dump)
    restored = dumps.rows(installation.url("postgres", AGAIN))
    quiet = [table for table in after if before[table] == after[table]]
    differing = [table for table in quiet if restored.get(table) != after[table]]
    assert not differing, f"{', '.join(differing)} came back otherwise"
    assert {"jobs", "job_outputs", "ledger", "keys", "tenants"} <= set(quiet)
    installation.command("migrate", FOREBAY_DATABASE_URL=installation.url("forebay", AGAIN))
    _served(installation, job_ids)
    rows = sum(len(restored[table]) for table in quiet)
    kept = f"{len(quiet)} of {len(after)} tables, {rows} rows, came back as they were"
    return f"{kept}, and are served on the Redis that was ahead"


def _made(installation: Installation, number: int) -> str:
    """A job that has ended."""
    body = {"type": "generate", "model": "echo", "input": {"prompt": f"job {number} to keep"}}
    with _client(installation, installation.addresses[0]) as http:
        job_id = str(http.post("/v1/jobs", json=body).raise_for_status().json()["id"])
        assert http.get(f"/v1/jobs/{job_id}?wait=60").json()["status"] == "succeeded"
    return job_id


def _served(installation: Installation, job_ids: list[str]) -> None:
    """An API of the restored database tells the same of each job, on the Redis of the original, which has stopped.

    Then the original goes on, as the page says.
    """
    with _client(installation, installation.addresses[0]) as here:
        before = [_told(here, job_id) for job_id in job_ids]
    ours = [name for name in installation.supervisor.names() if name not in ("postgres", "redis", machines.NGINX)]
    installation.stop(*ours)
    client = redis.Redis.from_url(installation.env["FOREBAY_REDIS_URL"])
    client.set(LEFT, "of a time that never was")
    restored = installation.api("restored", FOREBAY_DATABASE_URL=installation.url("forebay", AGAIN))
    installation.serve(restored)
    with _client(installation, f"http://127.0.0.1:{installation.ports[restored]}") as there:
        assert not client.exists(LEFT), "the restored API left in Redis what was there"
        assert [_told(there, job_id) for job_id in job_ids] == before
    installation.stop(restored)
    installation.command("migrate", "--restored")
    client.set(LEFT, "of the copy")
    for name in ours:
        installation.begin(installation.specs[name])
    installation.serve(*ours)
    assert not client.exists(LEFT), "the original left in Redis what the copy had there"
    client.close()


def _told(http: httpx.Client, job_id: str) -> tuple[object, str]:
    """The job, and the last of its events."""
    return http.get(f"/v1/jobs/{job_id}").json(), http.get(f"/v1/jobs/{job_id}/events").text.split("event:")[-1]


def _client(installation: Installation, address: str) -> httpx.Client:
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {installation.key}"}, timeout=90)
