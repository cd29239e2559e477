"""How an operator's command reaches the database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db import session as db_session


def option(command: Callable[..., Any]) -> Callable[..., Any]:
    given = click.option("--database-url", envvar="FOREBAY_DATABASE_URL", required=True, help="A PostgreSQL URL.")
    return given(command)


@contextmanager
def opened(database_url: str) -> Iterator[Session]:
    """A transaction, committed at the block's end. Raises `ClickException` when the database doesn't answer."""
    engine = db_session.open_engine(database_url, pool_size=1)
    try:
        with db_session.open_sessions(engine).begin() as session:
            yield session
    except OperationalError as error:
        raise click.ClickException(f"the database doesn't answer: {error.orig}") from error
    finally:
        engine.dispose()
