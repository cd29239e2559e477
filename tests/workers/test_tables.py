"""Workers that are started on a database whose tables aren't theirs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from db import migrate, revisions
from tests.support import catalogs, databases, waiting
from tests.support.platform import ROOT
from tests.support.revisions import moved


@pytest.fixture
def older(postgres_url: str) -> Iterator[str]:
    """A database as the version before has left it."""
    with databases.beside(postgres_url, "older") as url:
        with databases.pool(url) as engine, engine.begin() as connection:
            moved(connection, "0025")
        yield url


@contextmanager
def worker(url: str, redis_url: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker, ended with the block, whose log is in the folder."""
    catalog = folder / "catalog.toml"
    catalog.write_text(catalogs.echo("alpha", slots=1, context=64))
    urls = {"FOREBAY_DATABASE_URL": url, "FOREBAY_REDIS_URL": redis_url, "FOREBAY_CATALOG": str(catalog)}
    command = [sys.executable, "-m", "workers.serve", "-Q", "alpha.interactive,alpha.batch", "-c", "1", "-n", "a@%h"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **urls}, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_worker_waits_for_the_migration_and_then_serves(older: str, redis_url: str, tmp_path: Path) -> None:
    """It says once what it waits for, and needs nobody to start it again."""
    with worker(older, redis_url, tmp_path), databases.pool(older) as engine:
        waiting.until(lambda: "waiting_for_tables" in (tmp_path / "log").read_text(), 60)
        migrate.upgrade(older)

        def serves() -> bool:
            with engine.connect() as connection:
                return bool(connection.execute(text("SELECT count(*) FROM workers")).scalar_one())

        waiting.until(serves, 60)
    said = [line for line in (tmp_path / "log").read_text().splitlines() if "waiting_for_tables" in line]
    assert len(said) == 1
    assert f"revision 0025, and {revisions.head()} is needed: run `forebay migrate`" in said[0]
