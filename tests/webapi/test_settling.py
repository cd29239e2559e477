"""An API that starts beside a database that was put back: nothing is told from before that is seen to."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from flask import Flask
from sqlalchemy import Engine, text

from db import migrate
from db import session as db_session
from tasks import ids
from tasks.queues import epochs
from tasks.streams import stream
from tests.support import databases, waiting
from tests.support.revisions import moved
from tests.webapi.conftest import Api, new_key
from webapi import service
from webapi.app import equip
from webapi.service import Service
from webapi.settings import Settings


@pytest.fixture
def beside(postgres_url: str) -> Iterator[tuple[str, Engine]]:
    """An empty database of the test's own."""
    with databases.beside(postgres_url, "put_back") as url, databases.pool(url) as engine:
        yield url, engine


@pytest.fixture
def starting(routes: Flask, settings: Settings, beside: tuple[str, Engine]) -> Iterator[Service]:
    """The API's process on that database, which hasn't begun."""
    serving = Service(replace(settings, shared=replace(settings.shared, database_url=beside[0])))
    equip(routes, serving)
    yield serving
    serving.close()


@pytest.fixture
def stale(client: redis.Redis) -> str:
    """A stream in Redis, which is of another epoch."""
    name = stream.key(ids.new())
    client.xadd(name, {"j": "{}"}, "5-1")
    client.hset(epochs.KEY, mapping={"id": str(uuid.uuid4()), "log_bytes": 1})
    return name


def status(api: Api) -> tuple[int, int]:
    return api.get("/v1/jobs").status_code, api.get("/readyz").status_code


def test_requests_are_told_to_come_again_while_jobs_are_made_ready(
    routes: Flask,
    starting: Service,
    beside: tuple[str, Engine],
    stale: str,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long that takes, the process has started."""
    url, engine = beside
    migrate.upgrade(url)
    api = Api(routes, new_key(db_session.open_sessions(engine), "ours"))
    monkeypatch.setattr(service, "_SETTLED_SOON_S", 0.1)
    with engine.connect() as somebody:
        somebody.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        somebody.execute(text("SELECT pg_advisory_xact_lock(hashtext('forebay.epoch'))"))
        starting.begin()
        assert status(api) == (503, 503)
        assert api.get("/readyz").json["parts"]["schema"] == service._UNSETTLED
        assert client.exists(stale)
    waiting.until(lambda: not client.exists(stale))
    waiting.until(lambda: status(api) == (200, 200))


def test_api_that_started_before_its_tables_settles_once_they_are_there(
    routes: Flask, starting: Service, beside: tuple[str, Engine], stale: str, client: redis.Redis
) -> None:
    """Before it answers its first request."""
    url, engine = beside
    with engine.begin() as connection:
        moved(connection, "0026")
    starting.begin()
    migrate.upgrade(url)
    api = Api(routes, new_key(db_session.open_sessions(engine), "ours"))
    waiting.until(lambda: api.get("/v1/jobs").status_code == 200)
    assert not client.exists(stale)
