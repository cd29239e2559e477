"""A dump while everything runs, restored elsewhere, compared table by table and served, as docs/operating.md says."""

import httpx

from tests.operate.installation import PASSWORD, Installation
from tests.support import dumps

AGAIN = "again"
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
    return f"{len(quiet)} of {len(after)} tables, {rows} rows, came back as they were, and an API serves them"


def _made(installation: Installation, number: int) -> str:
    """A job that has ended."""
    body = {"type": "generate", "model": "echo", "input": {"prompt": f"job {number} to keep"}}
    with _client(installation, installation.addresses[0]) as http:
        job_id = str(http.post("/v1/jobs", json=body).raise_for_status().json()["id"])
        assert http.get(f"/v1/jobs/{job_id}?wait=60").json()["status"] == "succeeded"
    return job_id


def _served(installation: Installation, job_ids: list[str]) -> None:
    """An API of the restored database, with a Redis that knows nothing, tells the same of each job."""
    env = {
        "FOREBAY_DATABASE_URL": installation.url("forebay", AGAIN),
        "FOREBAY_REDIS_URL": installation.env["FOREBAY_REDIS_URL"].removesuffix("/0") + "/2",
    }
    name = installation.api("restored", **env)
    installation.serve(name)
    there = f"http://127.0.0.1:{installation.ports[name]}"
    with _client(installation, installation.addresses[0]) as here, _client(installation, there) as restored:
        for job_id in job_ids:
            assert restored.get(f"/v1/jobs/{job_id}").json() == here.get(f"/v1/jobs/{job_id}").json()
            told = restored.get(f"/v1/jobs/{job_id}/events").text
            assert told.split("event:")[-1] == here.get(f"/v1/jobs/{job_id}/events").text.split("event:")[-1]
    installation.stop(name)


def _client(installation: Installation, address: str) -> httpx.Client:
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {installation.key}"}, timeout=90)
