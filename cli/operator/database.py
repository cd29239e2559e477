"""How an operator's command reaches the database."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click
import redis
import structlog
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from cli.launcher import credentials, datafolder, embedded
from db import session as db_session
from db.session import Sessions
from tasks.operating import revisions
from tasks.streams import stream

_REDIS_TIMEOUT_S = 2.0

URL = ["FOREBAY_DATABASE_DIRECT_URL", "FOREBAY_DATABASE_URL"]  # a command is no reader of one statement


def refuse_pooled(_: click.Context, __: click.Parameter, url: str | None) -> str | None:
    """Raises `UsageError` for the URL of a pool that shares connections out by the transaction.

    What a command sets for its session, and the lock that migrations take, would stay behind on a connection of others.
    """
    pooled = os.environ.get("FOREBAY_DATABASE_POOLING") == "transaction" and not os.environ.get(URL[0])
    if url and pooled and url == os.environ.get(URL[1]):
        raise click.UsageError(f"{URL[0]} must be set, since FOREBAY_DATABASE_POOLING is `transaction`")
    return url


def option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that say which database to use, and calls it with its `database_url`."""

    @click.option(
        "--database-url", envvar=URL, callback=refuse_pooled, help="A PostgreSQL URL; else the data folder's."
    )
    @datafolder.option("The data folder of the `forebay up` that runs here.")
    @wraps(command)
    def wrapper(database_url: str | None, data: Path, **given: Any) -> Any:
        if database_url is None and not data.exists():
            raise click.UsageError(f"give --database-url, or --data with a folder of `forebay up` (not {data})")
        if "pepper" in given:
            given["pepper"] = given["pepper"] or _pepper(data)
        if "catalog_file" in given:
            given["catalog_file"] = given["catalog_file"] or _catalog(data)
        if "redis_url" in given:
            given["redis_url"] = given["redis_url"] or embedded.redis_url(data.resolve())
        return command(database_url=database_url or embedded.postgres_url(data.resolve()), **given)

    return wrapper


def refusal(error: OperationalError) -> click.ClickException:
    """What a command says of it: the database isn't there, or what it says itself, of locks, limits or a full disk."""
    lost = error.connection_invalidated or not getattr(error.orig, "sqlstate", None)
    return click.ClickException(f"the database doesn't answer: {error.orig}" if lost else db_session.told(error))


def _catalog(data: Path) -> Path:
    """The catalogue that the data folder's `forebay up` serves from."""
    own = datafolder.DataFolder(data)
    return own.catalog if own.catalog.exists() else own.served_by_default


def _pepper(data: Path) -> str:
    """The pepper of the data folder. Raises `UsageError` when there is none."""
    try:
        return credentials.read(datafolder.DataFolder(data).secrets).pepper
    except OSError as error:
        raise click.UsageError(f"no pepper: give --pepper or FOREBAY_KEY_PEPPER, or --data (not {data})") from error


def redis_client(url: str) -> redis.Redis:
    """Redis at that URL, connected to lazily. Raises `UsageError` for a URL that isn't one."""
    try:
        return stream.connect(url, timeout_s=_REDIS_TIMEOUT_S, max_connections=2)
    except ValueError as error:
        raise click.UsageError(f"--redis-url: {error}") from error


@contextmanager
def opened(database_url: str) -> Iterator[Session]:
    """A transaction, committed at the block's end. Raises `ClickException` when the database doesn't answer."""
    with reached(database_url) as sessions, sessions.begin() as session:
        yield session


@contextmanager
def reached(database_url: str) -> Iterator[Sessions]:
    """Any number of transactions, one after the other.

    Raises `ClickException` when the database doesn't answer, or has other tables than this version works with.
    """
    # What is logged on the way is no answer, and of that only what went wrong is of interest.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    engine = db_session.open_engine(database_url, pool_size=1)
    sessions = db_session.open_sessions(engine)
    try:
        yield sessions
    except OperationalError as error:
        raise refusal(error) from error
    except ProgrammingError as error:
        if unfit := revisions.trouble(sessions):
            raise click.ClickException(unfit) from error
        raise
    finally:
        engine.dispose()
