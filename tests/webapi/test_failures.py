"""What goes wrong on our side: one error shape, nothing leaked, and what still works while a part is down."""

import contextlib
import io
import json
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from psycopg.errors import DiskFull
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from db.session import Sessions
from tests import tables
from tests.webapi.conftest import Api, new_key
from webapi import errors
from webapi.app import create_app
from webapi.settings import Settings

NOWHERE_REDIS = "unix:///nowhere.sock"
NOWHERE_POSTGRES = "postgresql://postgres@/x?host=/nowhere"


@pytest.fixture
def hole() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def changed(settings: Settings, **shared: Any) -> Settings:
    return replace(settings, shared=replace(settings.shared, **shared))


@pytest.fixture
def without_redis(settings: Settings, sessions: Sessions) -> Iterator[Api]:
    app = create_app(changed(settings, redis_url=NOWHERE_REDIS, broker_url=NOWHERE_REDIS))
    yield Api(app, new_key(sessions, "ours"))
    app.extensions["forebay"].close()


@pytest.fixture
def without_postgres(settings: Settings) -> Iterator[Api]:
    app = create_app(changed(settings, database_url=NOWHERE_POSTGRES))
    yield Api(app, "fb_0123456789_" + "A" * 43)
    app.extensions["forebay"].close()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1", 404, "not_found"),
        ("POST", "/", 405, "method_not_allowed"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/docs/nothing.js", 404, "not_found"),
        ("GET", "/docs/..%2f..%2fapp.py", 404, "not_found"),
        ("DELETE", "/v1/jobs", 405, "method_not_allowed"),
        ("PUT", "/healthz", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_has_the_one_error_shape(api: Api, method: str, path: str, status: int, code: str) -> None:
    """Also what no route of ours answers."""
    response = api.ask(method, path)
    assert (response.status_code, response.json["error"]["code"]) == (status, code)
    assert list(response.json["error"]) == ["message", "type", "param", "code"]
    if status == 405:
        assert "GET" in response.headers["Allow"]


def test_type_of_an_error_is_the_one_that_openai_has_for_its_status() -> None:
    """Clients of theirs tell errors apart by it, whatever our code says."""
    by_status = {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        409: "invalid_request_error",
        413: "invalid_request_error",
        422: "invalid_request_error",
        429: "rate_limit_error",
        500: "server_error",
        503: "server_error",
    }
    told = {status: json.loads(errors.answer(status, "x", "y").data)["error"]["type"] for status in by_status}
    assert told == by_status


def test_unforeseen_error_is_logged_and_told_to_nobody(app: Flask, api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """A 500 has the one shape; the log says where, and quotes nothing a client sent."""

    def fail(**_: Any) -> None:
        raise RuntimeError("a secret of the client's")

    app.view_functions["models.models"] = fail
    with capture_logs() as logs, caplog.at_level(logging.DEBUG):
        response = api.get("/v1/models")
    assert (response.status_code, response.json["error"]["code"]) == (500, "internal")
    assert response.json["error"]["type"] == "server_error"
    assert [(entry["event"], entry.get("kind")) for entry in logs] == [
        ("unforeseen", "RuntimeError"),
        ("request", None),
    ]
    assert "secret" not in response.text + str(logs) + caplog.text


def test_pool_that_has_run_dry_is_called_so(app: Flask, api: Api) -> None:
    """The database is there: neither the answer nor the log says anything else."""
    serving = app.extensions["forebay"]
    assert api.get("/v1/jobs").status_code == 200
    with contextlib.ExitStack() as held, capture_logs() as logs:
        for _ in range(serving.engine.pool.size()):
            held.enter_context(serving.engine.connect())
        response = api.get("/v1/jobs")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "connections of this process" in response.json["error"]["message"]
    assert [entry["event"] for entry in logs] == ["connections_used_up", "request"]
    assert api.get("/v1/jobs").status_code == 200


def test_keys_and_prompts_are_never_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is logged on the way, it is neither a credential nor what a client said."""
    with capture_logs() as logs, caplog.at_level(logging.DEBUG):
        api.submit(input={"prompt": "a secret of the client's"})
        api.post("/v1/jobs", json={"type": "generate", "input": {"prompt": "secret"}, "model": "secret"})
        api.post("/v1/jobs", data=b'{"secret', content_type="application/json")
        Api(api.app, api.key[:-2] + "zz").get("/v1/jobs")
    told = str(logs) + caplog.text
    assert "secret" not in told
    assert api.key[14:40] not in told


def test_jobs_are_accepted_without_redis(without_redis: Api, sessions: Sessions) -> None:
    """Accepting is a commit in PostgreSQL: neither the broker nor the streams are asked for it."""
    tables.worker(sessions, slots=2)
    job = without_redis.submit()
    assert without_redis.get(f"/v1/jobs/{job['id']}").json["status"] == "queued"
    assert without_redis.submit()["status"] == "queued"


def test_jobs_end_and_are_followed_without_redis(without_redis: Api) -> None:
    """Cancelling, waiting and streaming fall back on PostgreSQL."""
    job = without_redis.submit()
    response = without_redis.get(f"/v1/jobs/{job['id']}/events", buffered=False)
    chunks = iter(response.response)
    assert next(chunks) == b": ok\n\n"
    assert without_redis.post(f"/v1/jobs/{job['id']}/cancel").json["status"] == "cancelled"
    assert b"event: cancelled" in b"".join(chunks)
    response.close()
    assert without_redis.get(f"/v1/jobs/{job['id']}?wait=20").json["status"] == "cancelled"


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/v1/models")])
def test_without_postgres_is_a_503_that_says_when_to_come_again(without_postgres: Api, method: str, path: str) -> None:
    """Nothing is accepted that couldn't be kept."""
    response = without_postgres.ask(method, path)
    assert (response.status_code, response.json["error"]["code"]) == (503, "unavailable")
    assert response.headers["Retry-After"] == "1"


def test_process_is_alive_without_anything(settings: Settings) -> None:
    """Health is about the process, and needs no key."""
    app = create_app(changed(settings, database_url=NOWHERE_POSTGRES, redis_url=NOWHERE_REDIS))
    response = app.test_client().get("/healthz")
    assert (response.status_code, response.json) == (200, {"status": "ok"})
    app.extensions["forebay"].close()


def test_ready_tells_each_part(app: Flask, sessions: Sessions) -> None:
    """With all parts there, the workers of each model are counted."""
    tables.worker(sessions, "w1", slots=2)
    response = app.test_client().get("/readyz")
    counts = {"alpha": 1, "beta": 0, "embedder": 0, "reranker": 0, "control": 0}
    parts = {"postgres": "ok", "schema": "ok", "redis": "ok", "workers": counts, "unserved": {}}
    assert (response.status_code, response.json) == (200, {"status": "ready", "parts": parts})


def test_ready_counts_jobs_whose_model_left_the_catalogue(
    app: Flask, api: Api, settings: Settings, tmp_path: Path
) -> None:
    """They wait for a worker that nobody starts any more; what waits for the control worker doesn't."""
    for _ in range(2):
        api.submit(model="beta")
    api.submit(model="alpha")
    files = {"collection": "books", "file": (io.BytesIO(b"one"), "one.txt")}
    assert api.post("/v1/documents", data=files).status_code == 202
    assert app.test_client().get("/readyz").json["parts"]["unserved"] == {}
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(settings.shared.catalog.read_text().replace("[beta]", "[gamma]"))
    later = create_app(changed(settings, catalog=catalog))
    response = later.test_client().get("/readyz")
    assert (response.status_code, response.json["parts"]["unserved"]) == (200, {"beta": 2})
    later.extensions["forebay"].close()


def test_model_that_comes_and_goes_is_served_and_refused_without_a_restart(api: Api, catalog_file: Path) -> None:
    """The catalogue's file is read again; one that can't be read changes nothing."""
    catalog_file.write_text(catalog_file.read_text().replace("[beta]", "[gamma]"))
    assert api.submit(model="gamma")["model"] == "gamma"
    catalog_file.write_text("not [ TOML")
    assert api.submit(model="gamma")["model"] == "gamma"
    refused = api.post("/v1/jobs", json={"type": "generate", "model": "beta", "input": {"prompt": "x"}})
    assert (refused.status_code, refused.json["error"]["param"]) == (422, "model")


def test_slow_count_of_the_unserved_makes_nothing_else_down(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as unknown."""
    gone = threading.Event()
    monkeypatch.setattr(app.extensions["forebay_probes"].unserved, "_ask", gone.wait)
    response = app.test_client().get("/readyz")
    gone.set()
    assert (response.status_code, response.json["parts"]["postgres"]) == (200, "ok")
    assert response.json["parts"]["unserved"] is None


def test_ready_without_redis_says_so_and_is_ready(without_redis: Api) -> None:
    """Jobs are still accepted, which is what ready means."""
    response = without_redis.get("/readyz")
    assert (response.status_code, response.json["parts"]["redis"]) == (200, "down")


def test_redis_that_takes_no_more_is_down(app: Flask, client: redis.Redis) -> None:
    """It answers, but nothing can be written: its memory is full."""
    client.config_set("maxmemory", 1)
    try:
        assert app.test_client().get("/readyz").json["parts"]["redis"] == "down"
    finally:
        client.config_set("maxmemory", 0)
    assert app.test_client().get("/readyz").json["parts"]["redis"] == "ok"


def test_not_ready_without_postgres(without_postgres: Api) -> None:
    """Without PostgreSQL no job can be accepted."""
    response = without_postgres.get("/readyz")
    assert (response.status_code, response.json["status"]) == (503, "unavailable")
    assert response.json["parts"] == {
        "postgres": "down",
        "schema": None,
        "redis": "ok",
        "workers": {"alpha": None, "beta": None, "embedder": None, "reranker": None, "control": None},
        "unserved": None,
    }
    assert response.headers["Retry-After"] == "1"


def test_not_ready_where_postgres_answers_and_cannot_write(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disk is full: no job can be accepted, and that is said. With room again it is ready."""
    probe = app.extensions["forebay_probes"].disk
    write = probe._ask

    def full() -> None:
        raise OperationalError("", None, DiskFull("could not write to file: No space left on device"))

    for ask, status, told in ((full, 503, "a write fails"), (write, 200, "ok")):
        monkeypatch.setattr(probe, "_ask", ask)
        response = app.test_client().get("/readyz")
        assert (response.status_code, response.json["parts"]["postgres"]) == (status, told)


def test_ready_answers_though_everything_hangs(settings: Settings, hole: int) -> None:
    """Servers that take connections and stay silent are down, however often one asks."""
    silent = {"database_url": f"postgresql://x@127.0.0.1:{hole}/x", "redis_url": f"redis://127.0.0.1:{hole}/0"}
    app = create_app(changed(settings, **silent))
    for _ in range(2):
        response = app.test_client().get("/readyz")
        assert (response.status_code, response.json["parts"]["redis"]) == (503, "down")
    app.extensions["forebay"].close()


def test_models_are_listed_with_their_workers(api: Api, sessions: Sessions) -> None:
    """What can be asked, of whom, and how many are there to do it."""
    tables.worker(sessions, "w1", slots=2)
    alpha, beta, *_ = api.get("/v1/models").json["data"]
    assert alpha == {
        "id": "alpha",
        "object": "model",
        "types": ["generate", "chat"],
        "context": 64,
        "slots": 2,
        "engine": "echo",
        "workers": 1,
        "default": True,
        "created": 0,
        "owned_by": "forebay",
        "shutdown_date": None,
        "capabilities": ["continues_by_ids", "logprobs", "seed", "stop"],
    }
    assert (beta["id"], beta["workers"], beta["default"]) == ("beta", 0, False)
