"""`forebay ask`: a question, answered from documents."""

import sys
from typing import Any

import click

from cli.client import client as api
from cli.client import watch
from cli.client.client import Client


@click.command()
@click.argument("question")
@click.option("--collection", default="default", show_default=True, help="Whose documents hold the answer.")
@click.option("--top-k", type=click.IntRange(1, 20), help="At most so many passages.")
@api.options
def ask(client: Client, question: str, collection: str, top_k: int | None) -> None:
    """Print the answer to QUESTION as it is made, then the passages it was made from; status 1 unless it succeeds."""
    job = client.submit(request(question, collection, top_k))
    if watch.follow(client, job["id"])["status"] != "succeeded":
        sys.exit(1)


def request(question: str, collection: str, top_k: int | None = None) -> dict[str, Any]:
    """The body of a submission."""
    asked: dict[str, Any] = {"question": question, "collection": collection}
    return {"type": "rag", "input": asked if top_k is None else asked | {"top_k": top_k}}
