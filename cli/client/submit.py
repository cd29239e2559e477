"""`forebay submit`: ask for a job."""

import json
import sys
from typing import Any

import click

from cli.client import client as api
from cli.client import watch
from cli.client.client import Client


@click.command()
@click.argument("prompt", metavar="PROMPT|-")
@click.option("--type", "type_", type=click.Choice(["chat", "generate"]), default="chat", show_default=True)
@click.option("--model", help="One of the catalogue; else its default for the type.")
@click.option("--param", "params", metavar="NAME=VALUE", multiple=True, help="As in --param temperature=0.")
@click.option("--system", help="What the model should know before a chat.")
@click.option("--lane", type=click.Choice(["interactive", "batch"]), help="Batch work waits for interactive work.")
@click.option("--run-at", metavar="TIME", help="Start no earlier, as in 2027-01-31T08:00:00+01:00.")
@click.option("--expires-at", metavar="TIME", help="Expire unless it has started by then.")
@click.option("--max-queue-s", type=int, metavar="SECONDS", help="The same, from when it may start.")
@click.option("--deadline-s", type=int, metavar="SECONDS", help="Fail unless it ends so soon after its start.")
@click.option("--watch", "watched", is_flag=True, help="Print the answer as it is made, not the job's id.")
@api.options
def submit(client: Client, prompt: str, watched: bool, **given: Any) -> None:
    """Ask for a job and print its id. `-` reads the prompt from stdin."""
    text = sys.stdin.read() if prompt == "-" else prompt
    job = client.submit(request(text, **given))
    if not watched:
        click.echo(job["id"])
    elif watch.follow(client, job["id"])["status"] != "succeeded":
        sys.exit(1)


def request(
    prompt: str, *, type_: str, params: tuple[str, ...], system: str | None, **others: str | int | None
) -> dict[str, Any]:
    """The body of a submission; `others` are fields by name, None where not given.

    Raises `UsageError` for options that don't go together.
    """
    if system is not None and type_ != "chat":
        raise click.UsageError("--system is for chats")
    asked: dict[str, Any] = {"type": type_, "params": dict(assignment("--param", param) for param in params)}
    if type_ == "chat":
        before = [] if system is None else [{"role": "system", "content": system}]
        asked["input"] = {"messages": [*before, {"role": "user", "content": prompt}]}
    else:
        asked["input"] = {"prompt": prompt}
    return asked | {name: value for name, value in others.items() if value is not None}


def assignment(option: str, text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON where it is JSON, else as the text it is. Raises `UsageError`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{option} {text}: write NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
