"""What a client is told when PostgreSQL is lost, or locked, in the middle of accepting its job."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from db.session import Sessions
from tests import severed
from tests.severed import Wire
from tests.webapi.conftest import Api, new_key
from webapi.app import create_app
from webapi.settings import Settings


@pytest.fixture
def wired(settings: Settings, sessions: Sessions, client: redis.Redis, tmp_path: Path) -> Iterator[tuple[Api, Wire]]:
    """The API with a wire to PostgreSQL that can be cut; the key is known to it."""
    with severed.wire(settings.shared.database_url, tmp_path) as (url, wire):
        app: Flask = create_app(replace(settings, shared=replace(settings.shared, database_url=url)))
        api = Api(app, new_key(sessions, "ours"))
        assert api.get("/v1/jobs").status_code == 200
        yield api, wire
        app.extensions["forebay"].close()


def post(api: Api) -> TestResponse:
    body = {"type": "generate", "input": {"prompt": "one two"}}
    return api.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"})


def stored(sessions: Sessions) -> list[str]:
    with sessions() as session:
        return [f"job_{found.hex}" for found in session.execute(text("SELECT id FROM jobs")).scalars()]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_client_that_lost_its_answer_asks_again_and_has_one_job(
    wired: tuple[Api, Wire], sessions: Sessions, moment: str
) -> None:
    """Whether the commit took place or not: the same key gives the one job, and no other row is there."""
    api, wire = wired
    wire.armed = moment
    lost = post(api)
    assert (wire.fired, lost.status_code, lost.headers["Retry-After"]) == (1, 503, "1")
    assert len(stored(sessions)) == (moment == "after")
    again = post(api)
    assert again.status_code == 202
    assert ("Idempotency-Replayed" in again.headers) == (moment == "after")
    assert stored(sessions) == [again.json["id"]]


def test_locked_table_is_a_503_and_leaves_nothing_behind(api: Api, sessions: Sessions) -> None:
    """Who keeps the table locked holds nobody's request for ever; once it is free, all goes on."""
    assert api.get("/v1/jobs").status_code == 200
    with sessions.begin() as session:
        session.execute(text("LOCK TABLE jobs"))
        refused = post(api)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert stored(sessions) == []
    assert post(api).status_code == 202
