"""An older dump beside a newer Redis: every job's stream is right, and what went back runs again without mixing."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
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


@dataclass(slots=True)
class Story:
    """One installation before and after a restore. The jobs: `ended` had ended when the dump was made, `half` was half
    told, `waits` waited, `later` wasn't there. `had` is what clients had been told of them by the time of the restore.
    """

    api: Api
    client: redis.Redis
    ended: str = ""
    half: str = ""
    waits: str = ""
    later: str = ""
    had: dict[str, list[Event]] = field(default_factory=dict)
    left: set[bytes] = field(default_factory=set)
    attempts: list[int] = field(default_factory=list)

    def until_the_dump(self, sessions: Sessions) -> None:
        self.ended, self.half, self.waits = (self.api.submit()["id"] for _ in range(3))
        byhand.run(sessions, self.client, self.ended).succeed()
        half_told(sessions, self.client, self.half)

    def since_the_dump(self, sessions: Sessions) -> None:
        """What the backup doesn't have: the half told one is lost and told otherwise, the others come to their ends."""
        second = byhand.run(sessions, self.client, self.half)
        second.event(Resumed(second.attempt))
        second.say("x", "y", "z")
        second.succeed()
        byhand.run(sessions, self.client, self.waits).succeed()
        self.later = self.api.submit()["id"]
        half_told(sessions, self.client, self.later)
        self.had = {shown: events(self.api, shown) for shown in (self.ended, self.half, self.waits)}

    def run_again(self, sessions: Sessions) -> None:
        self.left = set(self.client.keys())
        third = byhand.run(sessions, self.client, self.half)
        third.event(Resumed(third.attempt))
        third.say("c", "d")
        again = byhand.run(sessions, self.client, self.waits)
        again.say("other")
        for run in (third, again):
            run.succeed()
            self.attempts.append(run.attempt)


@pytest.fixture(scope="module")
def restored(
    routes: Flask, settings: Settings, postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    dump = tmp_path_factory.mktemp("restored") / "dump"
    client = stream.connect(redis_url, timeout_s=5, max_connections=10)
    client.flushall()
    client.set(THEIRS, "stays")
    with databases.pool(postgres_url) as server, databases.beside(postgres_url, NAME) as url:
        migrate.upgrade(url)
        with started(routes, settings, url) as sessions:
            story = Story(Api(routes, new_key(sessions, "ours")), client)
            story.until_the_dump(sessions)
            dumps.dump(url, dump)
            story.since_the_dump(sessions)
        anew(server)
        dumps.restore(url, dump)
        with started(routes, settings, url) as sessions:
            story.run_again(sessions)
            yield story
    client.close()


@pytest.fixture(scope="module", params=["Redis", "PostgreSQL"])  # of the module, so that all of one come first
def story(restored: Story, request: pytest.FixtureRequest) -> Story:
    """Told by what has it: once Redis is emptied, that is PostgreSQL alone."""
    if request.param == "PostgreSQL":
        restored.client.flushall()
    assert restored.client.exists(THEIRS) == (request.param == "Redis")
    return restored


def test_only_what_is_of_another_time_is_dropped(restored: Story) -> None:
    """Others' keys stay, and what the jobs that run again write is written anew."""
    assert restored.left == {THEIRS.encode(), epochs.KEY.encode()}


def test_jobs_that_went_back_get_numbers_that_nobody_had(restored: Story) -> None:
    """A worker from before can write nothing."""
    assert restored.attempts == [1002, 1001]


def test_job_that_had_ended_is_told_as_before(story: Story) -> None:
    """To the number."""
    assert events(story.api, story.ended) == story.had[story.ended]


def test_job_of_after_the_dump_is_not_there(story: Story) -> None:
    """Its stream isn't either."""
    assert story.api.get(f"/v1/jobs/{story.later}").status_code == 404


def test_client_that_had_read_on_begins_anew(story: Story) -> None:
    """Though its last event's number is one that the job has come to again."""
    last = story.had[story.half][-1]
    assert (last.id, last.type) == ("2-8", "succeeded")
    for had in (last.id, "2-6"):
        seen = events(story.api, story.half, had)
        assert told(seen)[0] == ("1002-0", "restarted")
        assert said(seen) == "abcd"
    seen = events(story.api, story.waits, story.had[story.waits][-1].id)
    assert told(seen)[0] == ("1001-0", "restarted")


def test_client_that_had_read_what_was_kept_goes_on(story: Story) -> None:
    """Nothing that it has is told again."""
    seen = events(story.api, story.half, "1-3")
    assert told(seen)[-4:] == [("1002-4", "resumed"), ("1002-5", "delta"), ("1002-6", "delta"), ("1002-7", "succeeded")]
    assert said(seen) == "cd"


def test_new_client_is_told_all_of_it_once(story: Story) -> None:
    """Without what was lost."""
    kinds = [kind for _, kind in told(events(story.api, story.half))]
    assert kinds == ["started", "delta", "delta", "resumed", "delta", "delta", "succeeded"]
    assert said(events(story.api, story.half)) == "abcd"
    assert said(events(story.api, story.waits)) == "other"


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
