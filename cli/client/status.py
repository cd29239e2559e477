"""`forebay status`: what runs, and what doesn't."""

import sys
from pathlib import Path
from typing import Any

import click
import httpx

from cli.client import columns
from cli.client.client import DEFAULT_URL, Unreachable, local_url
from cli.launcher import datafolder

_LIMIT_S = 5.0


@click.command()
@click.option("--url", envvar="FOREBAY_URL", help=f"Of the API.  [default: the data folder's, else {DEFAULT_URL}]")
@datafolder.option("The data folder of the `forebay up` that runs here.")
def status(url: str | None, data: Path) -> None:
    """Say which parts are there and how many workers each model has; status 1 unless jobs are accepted."""
    url = url or local_url(data)
    try:
        answer = httpx.get(f"{url}/readyz", timeout=_LIMIT_S)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise Unreachable(f"{url} doesn't answer: {error}") from error
    try:
        readiness = answer.json()
        rows = told(url, readiness)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise click.ClickException(f"what answers at {url} is no API of ours: {answer.status_code}") from error
    click.echo(columns.aligned(rows))
    if readiness["status"] != "ready":
        sys.exit(1)


def told(url: str, readiness: dict[str, Any]) -> list[tuple[str, str]]:
    """Each part of what `/readyz` answers, and a word on it."""
    parts = readiness["parts"]
    return [
        ("API", f"{readiness['status']}, {url}"),
        ("PostgreSQL", parts["postgres"]),
        *((("tables", tables),) if (tables := parts.get("schema") or "ok") != "ok" else ()),
        ("Redis", parts["redis"]),
        *((model, _workers(count)) for model, count in parts["workers"].items()),
        *((model, f"isn't served, waiting jobs: {count}") for model, count in (parts.get("unserved") or {}).items()),
    ]


def _workers(count: int | None) -> str:
    if count is None:
        return "unknown"
    return f"workers: {count}" if count else "no worker, its jobs wait"
