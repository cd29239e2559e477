"""Databases beside the one that tests share, for what would get in their way there."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from db import session as db_session


@contextmanager
def beside(postgres_url: str, name: str) -> Iterator[str]:
    """The URL of an empty database on the same server, for as long as the block runs."""
    with pool(postgres_url) as server, server.connect() as connection:
        alone = connection.execution_options(isolation_level="AUTOCOMMIT")
        alone.execute(text(f"CREATE DATABASE {name}"))
        try:
            yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
        finally:
            alone.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def pool(url: str) -> Iterator[Engine]:
    engine = db_session.open_engine(url, pool_size=10, statement_timeout_s=60)
    try:
        yield engine
    finally:
        engine.dispose()
