"""An older dump beside a newer Redis: every job's stream is right, and what went back runs again without mixing."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import redis
from flask import Flask
from sqlalchemy import Engine, text

from db import migrate
from db import session as db_session
from db.session import Sessions
from tasks import ids
from tasks.queues import broker, epochs
from tasks.streams import stream
from tasks.streams.events import Resumed
from tests.support import databases, dumps
from tests.support.events import Event, read
from tests.webapi import byhand
from tests.webapi.byhand import Run
from tests.webapi.conftest import Api, new_key
from tests.webapi.serving import gunicorn
from webapi.app import equip
from webapi.service import Service
from webapi.settings import Settings

NAME = "goes_back"
THEIRS = "another application's"


@contextmanager
def started(routes: Flask, settings: Settings, url: str) -> Iterator[Sessions]:
    """An API process on this database, as it starts."""
    serving = Service(replace(settings, shared=replace(settings.shared, database_url=url)))
    equip(routes, serving)
    serving.begin()
    with databases.pool(url) as engine:
        yield db_session.open_sessions(engine)
    serving.close()


def anew(server: Engine) -> None:
    """An empty database in the place of the one that was."""
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"DROP DATABASE {NAME} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {NAME}"))


def events(api: Api, shown: str, had: str | None = None) -> list[Event]:
    headers = {"Last-Event-ID": had} if had else {}
    return list(read(api.get(f"/v1/jobs/{shown}/events", headers=headers).text.splitlines()))


def told(events: list[Event]) -> list[tuple[str | None, str]]:
    return [(event.id, event.type) for event in events]


def said(events: list[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.type == "delta")


def half_told(sessions: Sessions, client: redis.Redis, shown: str) -> Run:
    run = byhand.run(sessions, client, shown)
    run.say("a", "b")
    run.checkpoint()
    return run


def test_jobs_that_went_back_run_again_and_nothing_is_mixed(
    routes: Flask, settings: Settings, postgres_url: str, client: redis.Redis, tmp_path: Path
) -> None:
    """Ended ones stay as they were, unended ones get numbers that nobody had, later ones aren't there."""
    dump = tmp_path / "dump"
    client.set(THEIRS, "stays")
    with databases.pool(postgres_url) as server, databases.beside(postgres_url, NAME) as url:
        migrate.upgrade(url)
        with started(routes, settings, url) as sessions:
            api = Api(routes, new_key(sessions, "ours"))
            ended, half, waits = (api.submit()["id"] for _ in range(3))
            byhand.run(sessions, client, ended).succeed()
            half_told(sessions, client, half)
            before = events(api, ended)
            dumps.dump(url, dump)
            # What the backup doesn't have: the half told one is lost and told otherwise, the others come to their ends.
            second = byhand.run(sessions, client, half)
            second.event(Resumed(second.attempt))
            second.say("x", "y", "z")
            second.succeed()
            byhand.run(sessions, client, waits).succeed()
            later = api.submit()["id"]
            half_told(sessions, client, later)
            future = {shown: events(api, shown) for shown in (half, waits)}
        anew(server)
        dumps.restore(url, dump)
        with started(routes, settings, url) as sessions:
            assert set(client.keys()) == {THEIRS.encode(), epochs.KEY.encode()}
            assert events(api, ended) == before
            assert api.get(f"/v1/jobs/{later}").status_code == 404
            third = byhand.run(sessions, client, half)
            assert third.attempt == 1002
            third.event(Resumed(third.attempt))
            third.say("c", "d")
            again = byhand.run(sessions, client, waits)
            again.say("other")
            for run in (third, again):
                run.succeed()
            whole = [("1002-1", "started"), ("1002-2", "delta"), ("1002-3", "delta")]
            rest = [("1002-4", "resumed"), ("1002-5", "delta"), ("1002-6", "delta"), ("1002-7", "succeeded")]
            assert told(future[half])[-1] == ("2-8", "succeeded")
            for gone in (False, True):
                if gone:  # Redis: from PostgreSQL
                    client.flushall()
                seen = events(api, half, future[half][-1].id)
                assert told(seen)[0] == ("1002-0", "restarted")
                assert said(seen) == "abcd"
                assert told(events(api, half, "2-6"))[0] == ("1002-0", "restarted")
                assert told(events(api, half, "1-3"))[-4:] == rest
                assert said(events(api, half, "1-3")) == "cd"
                assert [kind for _, kind in told(events(api, half))] == [kind for _, kind in whole + rest]
                assert told(events(api, waits, future[waits][-1].id))[0] == ("1001-0", "restarted")
                assert said(events(api, waits)) == "other"


def test_api_that_starts_forgets_what_redis_has_of_another_time(
    settings: Settings, sessions: Sessions, client: redis.Redis
) -> None:
    """Before its first request."""
    stale = stream.key(ids.new())
    client.xadd(stale, {"j": "{}"}, "5-1")
    client.hset(epochs.KEY, mapping={"id": str(uuid.uuid4()), "log_bytes": 1})
    client.lpush(broker.KEY_PREFIX + "alpha.batch", "a wake-up")
    with gunicorn(settings, ""):
        assert client.keys() == [epochs.KEY.encode()]
