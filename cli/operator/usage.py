"""`forebay usage`: what the jobs of a month used."""

import calendar
import datetime as dt

import click

from cli.client import columns
from cli.operator import database
from tasks import errors
from tasks.limits import usage as domain
from tasks.limits.usage import GROUPS, Used


class Month(click.ParamType[dt.date]):
    """A month, as in 2026-11: its first day."""

    name = "YYYY-MM"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dt.date:
        if isinstance(value, dt.date):
            return value
        try:
            return dt.datetime.strptime(str(value), "%Y-%m").replace(tzinfo=dt.UTC).date()
        except ValueError:
            self.fail(f"{value} is no month, as in 2026-11", param, ctx)


@click.command()
@click.option("--month", type=Month(), help="The month, as days in UTC have it.  [default: this one]")
@click.option("--tenant", metavar="NAME", help="Only this one's.")
@click.option("--by", type=click.Choice(tuple(GROUPS)), default="model", show_default=True, help="A row for each.")
@database.option
def usage(database_url: str, month: dt.date | None, tenant: str | None, by: str) -> None:
    """Add up what the jobs used that ended in a month: of each tenant, then in all."""
    first = (month or dt.datetime.now(dt.UTC).date()).replace(day=1)
    last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
    with database.opened(database_url) as session:
        try:
            found = domain.of_tenants(session, first, last, by, tenant)
        except errors.NotFound as error:
            raise click.ClickException(str(error)) from error
    rows: list[tuple[str, ...]] = [("tenant", by, "jobs", "prompt", "completion", "embedding", "cached")]
    rows += [_row(name, used) for name, used in found]
    rows.append(_row("", domain.total([used for _, used in found])))
    click.echo(columns.aligned(rows))


def _row(tenant: str, used: Used) -> tuple[str, ...]:
    spent = used.spent
    tokens = (spent.prompt, spent.completion, spent.embedding, spent.cached)
    return (tenant, used.of, str(used.jobs), *map(str, tokens))
