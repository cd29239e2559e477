"""`forebay migrate`: bring the database to the newest tables."""

import click

from cli.operator import database
from db import migrate as migrations


@click.command()
@click.option("--database-url", envvar=database.URL, required=True, help="A PostgreSQL URL.")
def migrate(database_url: str) -> None:
    """Bring the database to the newest tables; changes nothing when it is there already."""
    migrations.upgrade(database_url)
