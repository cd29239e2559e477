"""`forebay keys`: who may ask the API."""

import click
from rich.console import Console
from rich.table import Table

from cli.operator import database
from tasks import errors
from tasks import keys as domain


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.option("--tenant", default="default", show_default=True, help="Whose jobs it opens; made when new.")
@click.option("--name", default="", help="A note of what it is for.")
@click.option("--pepper", envvar="FOREBAY_KEY_PEPPER", help="The secret the API has too; else the data folder's.")
@database.option
def create(database_url: str, pepper: str, tenant: str, name: str) -> None:
    """Make a key and print it: the only time it is shown."""
    with database.opened(database_url) as session:
        try:
            made = domain.create(session, pepper=pepper, tenant=tenant, name=name)
        except errors.Conflict as error:
            raise click.ClickException(str(error)) from error
    click.echo(made.key)


@keys.command("list")
@database.option
def list_(database_url: str) -> None:
    """List the keys, never their secrets."""
    with database.opened(database_url) as session:
        found = domain.list_keys(session)
    table = Table("id", "tenant", "name", "created", "revoked")
    for key in found:
        table.add_row(key.id, key.tenant, key.name, key.created_at, key.revoked_at or "")
    Console().print(table)


@keys.command()
@click.argument("key_id", metavar="ID")
@database.option
def revoke(database_url: str, key_id: str) -> None:
    """End the key with that ID, within seconds and for good."""
    with database.opened(database_url) as session:
        try:
            domain.revoke(session, key_id)
        except errors.NotFound as error:
            raise click.ClickException(str(error)) from error
