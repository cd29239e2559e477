"""`forebay ask`: a question, answered from documents."""

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import click

from cli.client import client as api
from cli.client import demo, submit, watch
from cli.client.client import Client, Job

HINT = "Ask on; what was said is kept in mind. /clear forgets it, Ctrl-D or /bye leaves."
_MOST_MESSAGES = 20


@dataclass(slots=True)
class Questions:
    """Questions one after the other: `given` says where their answers are, `said` is the conversation so far.

    `hinted`: that it is the demo model which answers was said.
    """

    client: Client
    given: dict[str, Any]
    said: list[dict[str, str]] = field(default_factory=list)
    hinted: bool = False

    def ask(self, question: str) -> Job:
        """Prints the answer as it comes, then what it rests on; the job as it ended."""
        before = {"messages": self.said[-_MOST_MESSAGES:]} if self.said else {}
        asked = {"question": question, **self.given, **before}
        job = watch.follow(self.client, self.client.submit({"type": "rag", "input": asked})["id"])
        if job["status"] == "succeeded":
            texts = {"user": question, "assistant": job["result"]["text"]}
            self.said += [{"role": role, "content": text} for role, text in texts.items() if text]
            if job["model"] == demo.MODEL and not job["result"]["answered"] and not self.hinted:
                click.echo(demo.HINT, err=True)
                self.hinted = True
        return job


@click.command()
@click.argument("question")
@click.option("--collection", default="default", show_default=True, help="Whose documents hold the answer.")
@click.option("--top-k", type=click.IntRange(1, 20), help="At most so many passages.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Only passages with this score or more.")
@click.option("--filter", "filters", metavar="NAME=VALUE", multiple=True, help="Only documents of which this is said.")
@click.option("--follow", is_flag=True, help="Go on asking at a prompt: each question may follow the ones before.")
@api.options
def ask(client: Client, question: str, filters: tuple[str, ...], follow: bool, **given: Any) -> None:
    """Print the answer to QUESTION as it is made, then what it rests on; status 1 unless it succeeds."""
    pairs = dict(submit.assignment("--filter", text) for text in filters)
    questions = Questions(client, located(given | {"filter": pairs or None}))
    job = questions.ask(question)
    if follow:
        go_on(questions)
    elif job["status"] != "succeeded":
        sys.exit(1)


def located(given: dict[str, Any]) -> dict[str, Any]:
    """Where answers are, without what isn't said."""
    return {name: value for name, value in given.items() if value is not None}


def request(question: str, collection: str, top_k: int) -> dict[str, Any]:
    """The body of a submission."""
    return {"type": "rag", "input": {"question": question, "collection": collection, "top_k": top_k}}


def go_on(questions: Questions) -> None:
    """Asks what is typed until somebody leaves. What goes wrong with one question doesn't end it."""
    if sys.stdin.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401 - `input` edits lines and remembers them with it
        click.echo(HINT, err=True)
    while (text := _line()) not in (None, "/bye"):
        if text == "/clear":
            questions.said.clear()
        elif text:
            try:
                questions.ask(text)
            except click.ClickException as error:
                click.echo(f"Error: {error.format_message()}", err=True)


def _line() -> str | None:
    """What was typed, or is the next line of what comes by a pipe; None at the end."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.strip() if line else None
    try:
        return input("> ").strip()
    except (EOFError, KeyboardInterrupt):
        click.echo()
        return None
