"""Real servers for the tests: embedded ones, made in a temporary folder. A server that won't start fails the test."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
import structlog
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine

from cli.launcher import embedded
from db import migrate
from db import session as db_session
from db.session import Sessions
from tasks import telemetry
from tasks.keys import Caller
from tasks.streams import stream
from tasks.telemetry import Fact
from tests import tables
from tests.support import catalogs, sharing
from tests.support.platform import Stack, forebay_up, forgetful_postgres, running
from workers.worker import LOCKED_S

# Its own tracebacks are drawn with every variable in them, which takes seconds, and leases run out meanwhile.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

# How long an example takes, or is drawn, is the machine's affair.
settings.register_profile("suite", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


_LOGGING = structlog.get_config()


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command's own way of logging is forgotten when its test ends, and that of one which a fixture ran."""
    structlog.configure(**_LOGGING)
    yield
    structlog.configure(**_LOGGING)


# demo-chat as it ships, which judges texts too, the same by ctransformers, and a model whose every token is known and
# takes its time.
_CATALOG = "\n".join(
    (
        catalogs.demo(types="generate chat moderate", default=True),
        catalogs.demo("demo-ct", "ctransformers"),
        catalogs.echo(slots=4, options={"token_s": 0.02, "prompt_token_s": 0.001}),
        catalogs.embedder(slots=16),
    )
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Platforms come first, one after the other: what shares one takes longest, and another process has all the rest
    meanwhile."""

    def place(item: pytest.Item) -> tuple[bool, str]:
        alone = _group(item) == _file(item)
        return alone, "" if alone else _group(item)

    items.sort(key=place)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """A platform ends with the last test that shares it."""
    if nextitem is None or _group(nextitem) != _group(item):
        sharing.end(_group(item))


def _file(item: pytest.Item) -> str:
    return str(item.path.relative_to(item.config.rootpath))


def _group(item: pytest.Item) -> str:
    return sharing.group(_file(item))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> sharing.Together:
    return sharing.Together(config, log)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL with our tables, one for the whole session."""
    with running(tmp_path_factory.mktemp("postgres"), forgetful_postgres) as url:
        migrate.upgrade(url)
        yield url


@pytest.fixture(scope="session")
def database(postgres_url: str) -> Iterator[Engine]:
    """One pool on that PostgreSQL for all tests."""
    with tables.opened(postgres_url) as engine:
        yield engine


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis, one for the whole session."""
    with running(tmp_path_factory.mktemp("redis"), embedded.redis) as url:
        yield url


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole platform with the models `demo-chat`, `demo-ct` and `echo`, once for all tests that share it."""
    with sharing.shared("stack", forebay_up(tmp_path_factory.mktemp("stack") / "data", _CATALOG)) as stack:
        yield stack


@pytest.fixture(scope="session")
def impatient(postgres_url: str) -> Iterator[Engine]:
    """A pool on that PostgreSQL whose statements don't wait for locks for long."""
    engine = db_session.open_engine(postgres_url, pool_size=6, pool_timeout_s=5, lock_timeout_s=LOCKED_S)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(database: Engine) -> Sessions:
    return tables.emptied(database)


@pytest.fixture
def upkeep(impatient: Engine, sessions: Sessions) -> Sessions:
    """Sessions for heartbeats and sweeps."""
    return db_session.open_sessions(impatient)


@pytest.fixture
def caller(sessions: Sessions) -> Caller:
    return tables.tenant(sessions)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = stream.connect(redis_url, timeout_s=5, max_connections=10)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def facts() -> Iterator[list[Fact]]:
    """What telemetry is told during the test."""
    told: list[Fact] = []
    forget = telemetry.register(told.append)
    yield told
    forget()
