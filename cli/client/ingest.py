"""`forebay ingest`: bring files to be searched and asked about."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from cli.client import client as api
from cli.client import submit
from cli.client.client import ApiError, Client, Job


@click.command()
@click.argument(
    "files",
    metavar="FILE…",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--collection", default="default", show_default=True, help="Made when there is none of this name.")
@click.option("--metadata", metavar="NAME=VALUE", multiple=True, help="Said of every file; a search can filter by it.")
@api.options
def ingest(client: Client, files: tuple[Path, ...], collection: str, metadata: tuple[str, ...]) -> None:
    """Bring each FILE (.txt, .md, .html, .pdf) into a collection, and wait until it can be found.

    Prints the ids of the documents; status 1 unless all could be read.
    """
    facts = dict(submit.assignment("--metadata", text) for text in metadata)
    # All are accepted before the first is waited for.
    brought = [(file, bring(client, file, collection, facts)) for file in files]
    ready = [job is not None and tell(file, client.end(job["id"])) for file, job in brought]
    if not all(ready):
        sys.exit(1)


def bring(client: Client, file: Path, collection: str, facts: dict[str, Any]) -> Job | None:
    """The job that ingests the file, under its name; None, and why on stderr, when it is refused."""
    try:
        return client.upload(file, {"collection": collection, "title": file.name, "metadata": json.dumps(facts)})
    except ApiError as error:
        _say(f"{file}: {error.format_message()}")
        return None


def tell(file: Path, job: Job) -> bool:
    """Prints what became of the file; whether it can be found."""
    if job["status"] != "succeeded":
        _say(f"{file}: {job['error']['message'] if job['error'] else job['status']}")
        return False
    for document in job["result"]["documents"]:
        click.echo(document["id"])
        _say(f"{file}: ready, chunks: {document['chunks']}")
    return True


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
