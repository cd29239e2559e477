"""The API on real servers, a key for it, and a hand that runs jobs as a worker would."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from werkzeug.test import TestResponse

from db.session import Sessions
from tasks import keys
from tasks.settings import Settings as Shared
from tests import tables
from tests.support import catalogs, waiting
from tests.webapi.serving import Served, gunicorn
from webapi.app import create_app, equip
from webapi.service import Service
from webapi.settings import Settings

CATALOG = "\n".join(
    (
        catalogs.echo("alpha", slots=2, context=64, default=True),
        catalogs.echo("beta", "generate", slots=2, context=64),
        catalogs.echo("embedder", "embed", slots=2, context=64),
        catalogs.echo("reranker", "rerank", slots=2, context=64),
    )
)


@dataclass(frozen=True, slots=True)
class Api:
    """The app as one tenant sees it."""

    app: Flask
    key: str

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self.ask("POST", path, **options)

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return self.app.test_client().open(path, method=method, headers=headers, **options)

    def submit(self, **changes: Any) -> dict[str, Any]:
        """A generate job, or whatever the changes make of it."""
        response = self.post("/v1/jobs", json={"type": "generate", "input": {"prompt": "one two"}, **changes})
        assert response.status_code == 202, response.text
        return dict(response.json or {})

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as lists and events show it, without its attempts."""
        shown = dict(self.get(f"/v1/jobs/{job_id}").json or {})
        del shown["attempts"]
        return shown

    def bring(self, **changes: Any) -> dict[str, Any]:
        """A document that waits in the collection `books`, as it is shown."""
        given = {"collection": "books", "documents": [{"text": "one two"}], **changes}
        response = self.post("/v1/documents", json=given)
        assert response.status_code == 202, response.text
        return dict(self.get("/v1/documents?limit=1").json["data"][0])


@pytest.fixture(scope="session")
def settings(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    catalog = tmp_path_factory.mktemp("webapi") / "catalog.toml"
    catalog.write_text(CATALOG)
    shared = Shared(postgres_url, redis_url, redis_url, catalog, lease_s=tables.LEASE_S, stream_ttl_s=60)
    return Settings(shared, key_pepper=tables.PEPPER, webhooks=tables.WEBHOOKS)


@pytest.fixture
def catalog_file(settings: Settings) -> Iterator[Path]:
    """The catalogue of the app, to be changed under it; as it was when the test is over."""
    yield settings.shared.catalog
    settings.shared.catalog.write_text(CATALOG)


@pytest.fixture(scope="session")
def routes(settings: Settings) -> Flask:
    """The app with its routes and its page, which take longest to make: what it works with, each test makes anew."""
    app = create_app(settings)
    app.extensions["forebay"].close()
    return app


@pytest.fixture
def app(routes: Flask, settings: Settings, sessions: Sessions, client: redis.Redis) -> Iterator[Flask]:
    settings.shared.catalog.write_text(CATALOG)  # some tests change it
    serving, views = Service(settings), dict(routes.view_functions)
    equip(routes, serving)
    yield routes
    routes.view_functions.update(views)  # some tests put others in their place
    serving.close()


@pytest.fixture
def api(app: Flask, sessions: Sessions) -> Api:
    return Api(app, new_key(sessions, "ours"))


@pytest.fixture
def theirs(app: Flask, sessions: Sessions) -> Api:
    """The app as another tenant sees it."""
    return Api(app, new_key(sessions, "theirs"))


@pytest.fixture(scope="session")
def server(settings: Settings) -> Iterator[Served]:
    """One gunicorn for all tests that leave it running; without a key."""
    with gunicorn(settings, "") as served:
        yield served


@pytest.fixture
def served(server: Served, sessions: Sessions, client: redis.Redis) -> Iterator[Served]:
    """The gunicorn of all, asked with a key of the test's own, once the connections of the test before are gone."""
    waiting.until(lambda: server.connections() <= 1)  # its own client's
    with server.known(new_key(sessions, "ours")) as served:
        yield served


def new_key(sessions: Sessions, tenant: str) -> str:
    with sessions.begin() as session:
        return keys.create(session, pepper=tables.PEPPER, tenant=tenant, name="test").key
