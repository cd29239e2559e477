"""How much a new kind of job takes: a file for what it is, a file for its stage, and a schema."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from db.session import Sessions
from tasks import keys
from tasks.kinds import KINDS
from tasks.settings import Settings as Shared
from tests import tables
from tests.flow.reverse import kind, schema
from webapi.app import create_app
from webapi.settings import Settings
from webapi.v1.jobs import requests

ROOT = Path(__file__).parent.parent.parent
CATALOG = '[alpha]\nengine = "echo"\ncontext = 64\nslots = 1\ntypes = ["generate"]\n'


@pytest.fixture
def shared(postgres_url: str, redis_url: str, tmp_path: Path) -> Shared:
    (tmp_path / "catalog.toml").write_text(CATALOG)
    return Shared(postgres_url, redis_url, redis_url, tmp_path / "catalog.toml", tables.LEASE_S, 60)


@pytest.fixture
def control(shared: Shared, sessions: Sessions, client: redis.Redis) -> Iterator[None]:
    """A control worker that was told of the kind."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")} | {
        "PYTHONPATH": str(ROOT),
        "FOREBAY_DATABASE_URL": shared.database_url,
        "FOREBAY_REDIS_URL": shared.redis_url,
        "FOREBAY_CATALOG": str(shared.catalog),
        "FOREBAY_WEBHOOK_KEY": tables.WEBHOOK_KEY,
        "FOREBAY_GRACE_S": "1",
    }
    options = ["-Q", "control.interactive,control.batch", "-c", "2", "-n", "control@%h"]
    argv = [sys.executable, "-m", "tests.flow.reverse.worker", *options]
    with subprocess.Popen(argv, cwd=ROOT, env=env) as worker:
        yield
        worker.terminate()


def test_new_kind_is_three_files(
    shared: Shared, sessions: Sessions, control: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is accepted, run by a worker, shown, listed, followed and retried by what is there already."""
    monkeypatch.setitem(KINDS, "reverse", kind.ReverseKind())
    monkeypatch.setitem(requests.KINDS, "reverse", schema.ReverseRequest())
    with sessions.begin() as session:
        key = keys.create(session, pepper=tables.PEPPER, tenant="ours", name="test").key
    app = create_app(Settings(shared, key_pepper=tables.PEPPER, webhooks=tables.WEBHOOKS))
    browser, headers = app.test_client(), {"Authorization": f"Bearer {key}"}
    asked = {"type": "reverse", "input": {"prompt": "a red lamp"}, "metadata": {"k": "v"}}
    job = browser.post("/v1/jobs", json=asked, headers=headers).json
    ended = browser.get(f"/v1/jobs/{job['id']}?wait=60", headers=headers).json
    assert (ended["status"], ended["result"], ended["model"]) == ("succeeded", {"text": "pmal der a"}, "control")
    stream = browser.get(f"/v1/jobs/{job['id']}/events", headers=headers).text
    assert "event: succeeded" in stream
    again = browser.post(f"/v1/jobs/{job['id']}/retry", headers=headers).json
    assert browser.get(f"/v1/jobs/{again['id']}?wait=60", headers=headers).json["result"] == ended["result"]
    listed = browser.get("/v1/jobs", headers=headers).json["data"]
    assert [(one["type"], one["retry_of"]) for one in listed] == [("reverse", job["id"]), ("reverse", None)]
    refused = browser.post("/v1/jobs", json={"type": "reverse", "input": {}}, headers=headers)
    assert refused.status_code == 422
    app.extensions["forebay"].close()
