"""`forebay jobs`: what was asked for lately; and the end of jobs whose model is gone."""

import datetime as dt
import sys

import click
import redis

from cli.client import client as api
from cli.client import columns
from cli.client.client import Client
from cli.operator import database
from db import jobs as jobs_table
from db import workers
from db.session import Sessions
from tasks import settings
from tasks.jobs import endings

_ENDS_AT_ONCE = 200


class ListedByDefault(click.Group):
    """A group whose bare call, with options or without, is its command `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts `list` before what doesn't begin with a command's name."""
        named = args and args[0] in {*self.commands, *ctx.help_option_names}
        return super().parse_args(ctx, args if named else ["list", *args])


@click.group(cls=ListedByDefault)
def jobs() -> None:
    """List the newest jobs, or end what waits for a model that is gone.

    Without a command: `list`.
    """


@jobs.command("list")
@click.option(
    "--status",
    type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled", "expired"]),
    help="Only those.",
)
@click.option("--type", "type_", metavar="TYPE", help="Only those, as in --type chat.")
@click.option("--model", metavar="NAME", help="Only those that were asked of it.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="At most so many.")
@api.options
def list_(client: Client, status: str | None, type_: str | None, model: str | None, limit: int) -> None:
    """List the newest jobs of the key's tenant, the newest first."""
    rows, now = [("id", "status", "type", "model", "age")], dt.datetime.now(dt.UTC)
    for job in client.jobs(status=status, type=type_, model=model, limit=limit):
        passed = now - dt.datetime.fromisoformat(job["created_at"])
        rows.append((job["id"], job["status"], job["type"], job["model"], age(passed)))
    click.echo(columns.aligned(rows))


def age(passed: dt.timedelta) -> str:
    """A time in the largest unit of which there is a whole one."""
    seconds = max(0, int(passed.total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


@jobs.command()
@click.option("--model", required=True, metavar="NAME", help="What the jobs wait for.")
@click.option("--yes", is_flag=True, help="Ask nothing, and end them though the model has a worker.")
@click.option("--redis-url", envvar="FOREBAY_REDIS_URL", help="Where the jobs' streams are; else the data folder's.")
@click.option("--lease-s", envvar="FOREBAY_LEASE_S", default=settings.LEASE_S, hidden=True)
@click.option("--ttl-s", envvar="FOREBAY_STREAM_TTL_S", default=settings.STREAM_TTL_S, hidden=True)
@database.option
def end(database_url: str, redis_url: str, model: str, yes: bool, lease_s: float, ttl_s: int) -> None:
    """End the jobs of all tenants that wait for a model which isn't served any more.

    They fail with `model_removed`, for good. Those that run are left alone.
    """
    client = database.redis_client(redis_url)
    with database.reached(database_url) as sessions:
        with sessions() as session:
            waiting, _ = jobs_table.waiting_and_running(session, model)
            alive = model in workers.strengths(session, lease_s)
        if not waiting:
            click.echo(f"no job waits for {model}")
            return
        if not yes:
            _make_sure(model, waiting, alive)
        ended = end_all(sessions, client, model, waiting, ttl_s)
        with sessions() as session:
            left, running = jobs_table.waiting_and_running(session, model)
    click.echo(f"{ended} ended")
    if running:
        click.echo(f"{running} running, left alone", err=True)
    if left:
        raise click.ClickException(f"{left} still wait: they came meanwhile, or somebody held them; ask again")


def end_all(sessions: Sessions, client: redis.Redis, model: str, waiting: int, ttl_s: int) -> int:
    """Ends what waits for the model, some at a time, and tells those who follow them; returns how many it were.

    No more than were `waiting`, or it would never be done where new ones come.
    """
    count = 0
    while count < waiting:
        closings = endings.end_unserved(sessions, client, model, min(_ENDS_AT_ONCE, waiting - count), ttl_s)
        if not closings:
            break
        count += len(closings)
        endings.follow_up(sessions, client, closings, ttl_s)  # the sweep refills
    return count


def _make_sure(model: str, waiting: int, alive: bool) -> None:
    """Raises `ClickException` when a worker would run them, and `Abort` when somebody is there and says no."""
    if alive:
        raise click.ClickException(
            f"{model} has a worker that lives, which will run them; --yes ends them all the same"
        )
    if sys.stdin.isatty():
        click.confirm(f"End {waiting} that wait for {model}, for good?", abort=True)
