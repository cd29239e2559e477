"""What our processes may open, counted on a real PostgreSQL, and told where it has no room for that."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL, make_url
from structlog.testing import capture_logs

from db import session as db_session
from db.session import Sessions
from tasks.operating import connections
from tests.support.waiting import until

Open = Callable[..., Engine]


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[URL]:
    """A database of the tests' own, which no process that other tests have left running is connected to."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE counted")
        yield make_url(postgres_url).set(database="counted")
        connection.execute("DROP DATABASE counted WITH (FORCE)")


@pytest.fixture
def opened(url: URL) -> Iterator[Open]:
    """Opens as many connections under a name, of a user of its own where one is named."""
    with ExitStack() as held:

        def open_some(number: int, name: Callable[[], str], user: str | None = None) -> Engine:
            asked = url.set(username=user) if user else url
            engine = db_session.open_engine(asked.render_as_string(False), pool_size=number, name=name)
            held.callback(engine.dispose)
            with ExitStack() as together:
                for _ in range(number):
                    together.enter_context(engine.connect())
            return engine

        yield open_some


@pytest.fixture
def frugal(sessions: Sessions) -> Iterator[str]:
    """A user who may have seven connections."""
    with sessions.begin() as session:
        session.execute(text("CREATE ROLE frugal LOGIN CONNECTION LIMIT 7"))
    yield "frugal"
    until(lambda: not _connected(sessions, "frugal"))
    with sessions.begin() as session:
        session.execute(text("DROP ROLE frugal"))


def _connected(sessions: Sessions, user: str) -> bool:
    """Whether it still is: PostgreSQL notices a little later that a connection was closed."""
    with sessions() as session:
        there = text("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = :user)")
        return bool(session.scalar(there, {"user": user}))


def test_processes_are_known_by_what_they_call_their_connections(opened: Open) -> None:
    """Each counts once, with all that it may open."""
    looking = db_session.open_sessions(opened(1, lambda: "forebay"))
    opened(3, lambda: "forebay/14 one:7 api")
    opened(1, lambda: "forebay/14 two:7 api")
    opened(2, connections.named("a model", connections.of_worker(4, embeds=False)))
    opened(2, lambda: "somebody")
    with looking.begin() as session:
        room = connections.look(session)
    assert (room.processes, room.opened) == (3, 6)
    assert room.wanted == 14 + 14 + connections.of_worker(4, embeds=False)
    assert room.fits


def test_room_is_left_for_an_operator() -> None:
    """Else a backup or a look with psql is what finds no connection."""
    wanted = 14
    for most, fits in ((wanted + connections.COMMANDS, True), (wanted + connections.COMMANDS - 1, False)):
        room = connections.Room(1, 1, wanted, most, "max_connections")
        assert room.fits is fits
    assert room.sentence.endswith("leaves 18: raise it by 1, or start fewer processes or slots")


def test_place_that_is_lacking_is_told_with_its_numbers(frugal: str, opened: Open) -> None:
    """The narrowest limit counts, here the user's own; others' connections are told from ours all the same."""
    ours = db_session.open_sessions(opened(2, lambda: "forebay/14 one:7 api", frugal))
    opened(3, lambda: "somebody", frugal)
    with capture_logs() as logs:
        connections.warn(ours)
    [line] = logs
    assert (line["event"], line["wanted"], line["most"]) == ("connections_may_run_out", 14, 4)
    assert "CONNECTION LIMIT leaves 4: raise it by 15" in line["reason"]


def test_user_who_has_used_up_its_connections_is_told_why(frugal: str, opened: Open, url: URL) -> None:
    """The log has the server's own words, and starting goes on."""
    opened(7, lambda: "somebody", frugal)
    engine = db_session.open_engine(url.set(username=frugal).render_as_string(False), pool_size=1)
    with capture_logs() as logs:
        connections.warn(db_session.open_sessions(engine))
    assert [line["event"] for line in logs] == ["connections_not_counted"]
    assert 'too many connections for role "frugal"' in logs[0]["error"]


def test_name_tells_processes_apart_however_long_hosts_and_models_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL keeps 63 bytes of it."""
    monkeypatch.setattr("socket.gethostname", lambda: "a-long-name-of-a-pod-" * 4 + "7d9f")
    monkeypatch.setattr("os.getpid", lambda: 4194304)
    name = connections.named("a-model" * 20, 14)()
    assert name[:63].startswith("forebay/14 ")
    assert "7d9f:4194304 " in name[:63]


def test_page_for_operators_has_the_formula(request: pytest.FixtureRequest) -> None:
    """As it is in the code."""
    page = " ".join((request.config.rootpath / "docs" / "operating.md").read_text().split())
    assert (
        f"`{connections.of_api()} × API processes + Σ(min(slots, 8) + 6) + embedding workers + {connections.COMMANDS}`"
        in page
    )
    assert connections.of_worker(4, embeds=False) == 4 + 6
    assert connections.of_worker(16, embeds=True) == 8 + 6 + 1
