"""`forebay cancel`: end a job."""

import click

from cli.client import client as api
from cli.client.client import Client


@click.command()
@click.argument("job_id", metavar="ID")
@api.options
def cancel(client: Client, job_id: str) -> None:
    """End the job ID, and print its status: another than `cancelled` when it had ended before."""
    click.echo(client.cancel(job_id)["status"])
