"""`forebay migrate`: bring the database to this version's tables."""

import sys

import click
from sqlalchemy.exc import OperationalError

from db import migrate as migrations


@click.command()
@click.option("--database-url", envvar="FOREBAY_DATABASE_URL", required=True, help="A PostgreSQL URL.")
def migrate(database_url: str) -> None:
    """Bring the database to this version's tables; changes nothing when it is there already.

    Where its user may not do all of it, the statements that an administrator has to run are printed, and the status is
    1. It is 1 too, with each difference told, when the tables aren't those that migrations make.
    """
    try:
        migrations.upgrade(database_url)
    except migrations.RightsMissing as missing:
        click.echo("\n".join(f"{statement};" for statement in missing.statements))
        sys.stdout.flush()
        raise click.ClickException(f"{missing}; then run it again") from missing
    except migrations.Refused as refused:
        raise click.ClickException(str(refused)) from refused
    except OperationalError as error:
        raise click.ClickException(f"the database doesn't answer: {error.orig}") from error
