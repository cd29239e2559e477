"""A sweeper, and what stands in Celery's place beside it."""

import pytest
import redis

from db.session import Sessions
from tasks.sweep.sweeper import Sweeper
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made


@pytest.fixture
def post(client: redis.Redis) -> Post:
    return Post(client)


@pytest.fixture
def sweeper(upkeep: Sessions, client: redis.Redis, post: Post) -> Sweeper:
    return made(upkeep, client, post)
