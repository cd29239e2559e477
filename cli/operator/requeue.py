"""`forebay requeue`: one more attempt for a job that failed by no fault it is known for, or took workers with it."""

from pathlib import Path

import click

from cli.operator import database
from tasks import errors, ids
from tasks.doors import retrying
from tasks.doors.submitting import Desk
from tasks.models.registry import Models


@click.command()
@click.argument("job", metavar="JOB")
@click.option(
    "--catalog",
    "catalog_file",
    envvar="FOREBAY_CATALOG",
    type=click.Path(path_type=Path),
    help="The catalogue; else the data folder's, else models/catalog.toml.",
)
@database.option
def requeue(database_url: str, job: str, catalog_file: Path) -> None:
    """Give JOB one more attempt; prints the id of the new job that has it.

    JOB failed with `poison` or with an error of the system's. It stays as it ended. The new one names it, and its
    first loss or failure is its last.
    """
    job_id = ids.parse(job)
    if job_id is None:
        raise click.UsageError(f"{job[:64]} is no job's id")
    with database.reached(database_url) as sessions:
        try:
            accepted = retrying.requeue(Desk(sessions), Models(catalog_file).served(), job_id)
        except errors.ForebayError as error:
            raise click.ClickException(str(error)) from error
    click.echo(ids.show(accepted.id))
