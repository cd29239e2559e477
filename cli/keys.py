"""`forebay keys`: who may ask the API."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db import session as db_session
from tasks import errors
from tasks import keys as domain


def _database(command: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option("--database-url", envvar="FOREBAY_DATABASE_URL", required=True, help="A PostgreSQL URL.")
    return option(command)


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.option("--tenant", default="default", show_default=True, help="Whose jobs it opens; made when new.")
@click.option("--name", default="", help="A note of what it is for.")
@click.option("--pepper", envvar="FOREBAY_KEY_PEPPER", required=True, help="The secret the API has too.")
@_database
def create(database_url: str, pepper: str, tenant: str, name: str) -> None:
    """Make a key and print it: the only time it is shown."""
    with _session(database_url) as session:
        made = domain.create(session, pepper=pepper, tenant=tenant, name=name)
    click.echo(made.key)


@keys.command("list")
@_database
def list_(database_url: str) -> None:
    """List the keys, never their secrets."""
    with _session(database_url) as session:
        found = domain.list_keys(session)
    table = Table("id", "tenant", "name", "created", "revoked")
    for key in found:
        table.add_row(key.id, key.tenant, key.name, key.created_at, key.revoked_at or "")
    Console().print(table)


@keys.command()
@click.argument("key_id", metavar="ID")
@_database
def revoke(database_url: str, key_id: str) -> None:
    """End the key with that ID, within seconds and for good."""
    with _session(database_url) as session:
        try:
            domain.revoke(session, key_id)
        except errors.NotFound as error:
            raise click.ClickException(str(error)) from error


@contextmanager
def _session(database_url: str) -> Iterator[Session]:
    engine = db_session.open_engine(database_url, pool_size=1)
    try:
        with db_session.open_sessions(engine).begin() as session:
            yield session
    except OperationalError as error:
        raise click.ClickException(f"the database doesn't answer: {error.orig}") from error
    finally:
        engine.dispose()
