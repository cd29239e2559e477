"""An empty database and an empty Redis for each test of the domain."""

from collections.abc import Iterator

import pytest
import redis

from db.session import Sessions
from tasks import stream
from tasks.keys import Caller
from tests import tables


@pytest.fixture
def sessions(postgres_url: str) -> Iterator[Sessions]:
    with tables.emptied(postgres_url) as sessions:
        yield sessions


@pytest.fixture
def caller(sessions: Sessions) -> Caller:
    return tables.tenant(sessions)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = stream.connect(redis_url, timeout_s=5, max_connections=10)
    client.flushall()
    yield client
    client.close()
