"""An installation to look at: a PostgreSQL and a Redis that are well, and nothing else."""

from pathlib import Path

import pytest
import redis

from cli.operator.doctor.finding import Installation
from db.session import Sessions
from tests.cli.doctor.looks import NOWHERE
from tests.support import catalogs, workers


@pytest.fixture
def installation(
    sessions: Sessions, client: redis.Redis, postgres_url: str, redis_url: str, tmp_path: Path
) -> Installation:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(catalogs.echo("alpha", slots=2))
    own = workers.settings(postgres_url, redis_url, catalog)
    return Installation(own, sessions, client, client, tmp_path, f"http://{NOWHERE}", None)
