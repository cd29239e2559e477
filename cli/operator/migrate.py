"""`forebay migrate`: bring the database to this version's tables."""

from collections.abc import Sequence

import click
from sqlalchemy.exc import OperationalError

from cli.operator import database
from db import epochs
from db import migrate as migrations


@click.command()
@click.option(
    "--database-url", envvar=database.URL, required=True, callback=database.refuse_pooled, help="A PostgreSQL URL."
)
@click.option("--restored", is_flag=True, help="The database was put back, and nobody has noticed.")
def migrate(database_url: str, restored: bool) -> None:
    """Bring the database to this version's tables; changes nothing when it is there already.

    Where its user may not do all of it, the statements that an administrator has to run are printed, and the status is
    1. With --restored, Redis is emptied of us by whoever starts next, and all unended jobs run again.

    The status is 1 too, with each difference told, when the tables aren't those that migrations make.
    """
    try:
        for_backups = migrations.upgrade(database_url, waits=_tell)
    except migrations.RightsMissing as missing:
        click.echo(_lines(missing.statements))
        raise click.ClickException(f"{missing}; then run it again") from missing
    except migrations.Refused as refused:
        raise click.ClickException(str(refused)) from refused
    except OperationalError as error:
        raise database.refusal(error) from error
    if for_backups:
        click.echo("No backup can be made yet. Have an administrator run, once for the whole server:", err=True)
        click.echo(_lines(for_backups), err=True)
    if restored:
        with database.opened(database_url) as session:
            _, jobs = epochs.begin(session, anyway=True)
        click.echo(f"Another epoch has begun; {jobs} jobs that hadn't ended run again.")


def _tell(pid: int | None) -> None:
    click.echo(f"another migration runs (process {pid} of PostgreSQL); waiting for its end", err=True)


def _lines(statements: Sequence[str]) -> str:
    return "\n".join(f"{statement};" for statement in statements)
