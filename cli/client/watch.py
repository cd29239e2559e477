"""`forebay watch`: a job's answer as it is made."""

import sys

import click

from cli.client import client as api
from cli.client import passages
from cli.client.client import Client, Job


@click.command()
@click.argument("job_id", metavar="ID")
@api.options
def watch(client: Client, job_id: str) -> None:
    """Print the answer of the job ID as it is made, from its beginning; status 1 unless it succeeds.

    Of a summary, each document's as it comes. After Ctrl-C the job goes on.
    """
    summary = client.get(job_id).get("type") == "summary"
    try:
        job = follow_summary(client, job_id) if summary else follow(client, job_id)
    except KeyboardInterrupt:
        _say(f"\n{job_id} goes on: `forebay watch {job_id}` shows it again, `forebay cancel {job_id}` ends it")
        sys.exit(130)
    if job["status"] != "succeeded":
        sys.exit(1)


def follow(client: Client, job_id: str, said: list[str] | None = None) -> Job:
    """Prints a job's text on stdout as it comes and all else about it on stderr; returns the job as it ended.

    `said` is given the text's pieces, for a caller that may be interrupted.
    """
    said = [] if said is None else said
    for event in client.events(job_id):
        match event.type:
            case "delta":
                said.append(event.data["text"])
                click.echo(event.data["text"], nl=False)
            case "queued":
                _say(f"queued, {event.data['position']} before it")
            case "restarted":
                said.clear()
                _say("\nrestarted, the answer begins anew:")
            case "succeeded" | "failed" | "cancelled" | "expired":
                click.echo()
                if event.type != "succeeded":
                    error = event.data["error"]
                    _say(f"{event.type}: {error['message']}" if error else event.type)
                result = event.data["result"] or {}
                if "citations" in result:
                    told = passages.cited(result["text"], result) if result["answered"] else passages.looked_in(result)
                    _say(*told)
                return event.data
    raise AssertionError("a stream ends with the job's end")


def follow_summary(client: Client, summary_id: str) -> Job:
    """Prints each document's summary as it comes, and last the one of all; the summary as it ended."""
    after = 0
    while True:
        ended = client.summary(summary_id, wait_s=1)
        while results := client.results(summary_id, after):
            for result in results:
                name, after = result["title"] or result["filename"] or result["document_id"], result["number"]
                if result["summary"] is None:
                    _say(f"{name}: {result['error']['message'] if result['error'] else result['status']}")
                else:
                    click.echo(f"{name}\n{result['summary']}\n")
        if ended["status"] in api.ENDS:
            if ended["summary"]:
                click.echo(ended["summary"])
            return ended


def _say(*sentences: str) -> None:
    for sentence in sentences:
        click.echo(sentence, err=True)
