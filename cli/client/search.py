"""`forebay search`: what documents say about something."""

import click

from cli.client import client as api
from cli.client import passages
from cli.client.client import Client


@click.command()
@click.argument("query")
@click.option("--collection", default="default", show_default=True, help="Where to look.")
@click.option("--top-k", type=click.IntRange(1, 100), help="At most so many passages.")
@api.options
def search(client: Client, query: str, collection: str, top_k: int | None) -> None:
    """Print the passages of a collection that are nearest to QUERY, the best first."""
    found = client.search(query, collection, top_k)
    for number, passage in enumerate(found, 1):
        click.echo(passages.told(number, passage))
    if not found:
        click.echo("nothing found", err=True)
