"""An API whose database has other tables than its code works with."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from db import migrate, revisions
from tests.support import databases
from tests.support.revisions import moved
from tests.webapi.conftest import Api, new_key
from webapi.app import equip
from webapi.service import Service
from webapi.settings import Settings

BEFORE = "0025"
BEHIND = f"the tables are at revision {BEFORE}, and {revisions.head()} is needed: run `forebay migrate`"
UNKNOWN = f"the tables are at revision 9999, made by a newer version; this one knows {revisions.head()}"


@pytest.fixture
def beside(postgres_url: str) -> Iterator[tuple[str, Engine]]:
    """An empty database of the test's own."""
    with databases.beside(postgres_url, "unfit") as url, databases.pool(url) as engine:
        yield url, engine


@pytest.fixture
def unfit(api: Api, settings: Settings, beside: tuple[str, Engine]) -> Iterator[Api]:
    """The API on that database, at the revision of a version before; with a key of the database that tests share."""
    url, engine = beside
    with engine.begin() as connection:
        moved(connection, BEFORE)
    before = api.app.extensions["forebay"]
    serving = Service(replace(settings, shared=replace(settings.shared, database_url=url)))
    equip(api.app, serving)
    yield api
    serving.close()
    equip(api.app, before)


def soon(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute, or the second, is over in which the database isn't asked again."""
    monkeypatch.setattr(api.app.extensions["forebay"].tables, "_ask_at", 0.0)


def schema(api: Api) -> tuple[int, Any]:
    response = api.get("/readyz")
    return response.status_code, response.json["parts"]["schema"]


def test_api_on_older_tables_says_what_to_run(unfit: Api) -> None:
    """A 503 for each request, one line in the log for all of them."""
    with capture_logs() as logs:
        for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/v1/documents"), ("GET", "/v1/jobs")):
            response = unfit.ask(method, path)
            error = response.json["error"]
            assert (response.status_code, error["code"], error["message"]) == (503, "unavailable", BEHIND)
            assert response.headers["Retry-After"] == "5"
        response = unfit.get("/readyz")
    assert response.status_code == 503
    parts = response.json["parts"]
    assert (parts["postgres"], parts["schema"], parts["redis"]) == ("ok", BEHIND, "ok")
    assert (set(parts["workers"].values()), parts["unserved"]) == ({None}, None)
    assert unfit.get("/health").status_code == 503
    assert [entry for entry in logs if entry["event"] != "request"] == [
        {"event": "tables_unfit", "reason": BEHIND, "log_level": "error"}
    ]


def test_api_goes_on_by_itself_once_migrated(
    unfit: Api, beside: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a restart."""
    url, _ = beside
    assert unfit.get("/v1/jobs").status_code == 503
    migrate.upgrade(url)
    soon(unfit, monkeypatch)
    key = new_key(unfit.app.extensions["forebay"].sessions, "ours")
    assert Api(unfit.app, key).get("/v1/jobs").status_code == 200
    assert schema(unfit) == (200, "ok")


def test_tables_that_are_put_back_under_the_api_are_noticed(unfit: Api, beside: tuple[str, Engine]) -> None:
    """By the first statement that misses something, though nothing had been asked for a minute yet."""
    url, engine = beside
    migrate.upgrade(url)
    api = Api(unfit.app, new_key(unfit.app.extensions["forebay"].sessions, "ours"))
    assert schema(api) == (200, "ok")
    with engine.begin() as connection:
        moved(connection, BEFORE)
    response = api.get("/v1/documents")
    assert (response.status_code, response.json["error"]["message"]) == (503, BEHIND)


def test_newer_tables_are_gone_on_with_where_they_say_so(
    unfit: Api, beside: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rolling upgrade: the version before works on what the next has migrated. Its word is for that revision only."""
    url, engine = beside
    migrate.upgrade(url)
    told = {}
    for compatible_from in (None, revisions.head(), "9000"):
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            if compatible_from:
                said = f"made for 9999, good for code from {compatible_from} on"
                connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{said}'"))
        soon(unfit, monkeypatch)
        told[compatible_from] = schema(unfit)
    refused = 503, f"{UNKNOWN}: start that version"
    assert told == {None: refused, revisions.head(): (200, "ok"), "9000": refused}


def test_database_that_takes_no_writes_is_a_503(unfit: Api, beside: tuple[str, Engine]) -> None:
    """As on a standby: it answers questions, and nothing can be accepted."""
    url, engine = beside
    migrate.upgrade(url)
    api = Api(unfit.app, new_key(unfit.app.extensions["forebay"].sessions, "ours"))
    with engine.begin() as connection:
        connection.execute(text("ALTER DATABASE unfit SET default_transaction_read_only = on"))
    unfit.app.extensions["forebay"].engine.dispose()
    response = api.post("/v1/jobs", json={"type": "generate", "input": {"prompt": "one"}})
    assert (response.status_code, response.json["error"]["code"]) == (503, "unavailable")
    assert api.get("/v1/jobs").status_code == 200
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json["parts"]["postgres"]) == (503, "a write fails")


def test_statement_that_postgresql_refuses_is_in_the_log_with_its_words(unfit: Api, beside: tuple[str, Engine]) -> None:
    """A table that is gone by hand, at the right revision: our 500, with what is missing."""
    url, engine = beside
    migrate.upgrade(url)
    api = Api(unfit.app, new_key(unfit.app.extensions["forebay"].sessions, "ours"))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE webhook_endpoints RENAME TO gone"))
    with capture_logs() as logs:
        assert api.get("/v1/webhooks").status_code == 500
    [said] = [entry["error"] for entry in logs if entry["event"] == "unforeseen"]
    assert 'relation "webhook_endpoints" does not exist' in said
