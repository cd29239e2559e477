"""`forebay migrate`: bring the database to the newest tables."""

import click

from cli.operator import database
from db import migrate as migrations


@click.command()
@click.option("--database-url", envvar=database.URL, required=True, help="A PostgreSQL URL.")
def migrate(database_url: str) -> None:
    """Bring the database to the newest tables; changes nothing when it is there already."""
    statements = migrations.upgrade(database_url)
    if statements:
        click.echo("No backup can be made yet. Have an administrator run, once for the whole server:", err=True)
        click.echo("".join(f"  {statement};\n" for statement in statements), err=True, nl=False)
