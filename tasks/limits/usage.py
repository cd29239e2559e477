"""What the jobs of some days used: a tenant's for the API, everybody's for an operator."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from db import tenants, usage
from tasks import errors
from tasks.keys import Caller
from tasks.limits.spent import Spent

MOST_DAYS = 366
# By what the sums may be asked for, and what the rows call it.
GROUPS = {"day": "day", "model": "model", "type": "kind"}


@dataclass(frozen=True, slots=True)
class Used:
    """How many jobs ended, children among them, and what they used. `of` is the day, the model or the type of them."""

    of: str
    jobs: int
    spent: Spent


def span(first: dt.date | None, last: dt.date | None) -> tuple[dt.date, dt.date]:
    """The days that are meant: where neither is said, this month's until today, in UTC.

    Raises `InvalidField` where there is none, or more than `MOST_DAYS`.
    """
    today = dt.datetime.now(dt.UTC).date()
    last = last or max(first or today, today)
    first = first or last.replace(day=1)
    if last < first:
        raise errors.InvalidField("to", f"{last} is before {first}")
    if (last - first).days >= MOST_DAYS:
        raise errors.InvalidField("from", f"from {first} to {last} are more than {MOST_DAYS} days")
    return first, last


def of(session: Session, caller: Caller, first: dt.date, last: dt.date, by: str) -> list[Used]:
    """What the caller's tenant used on both days and all between, in the order of what it is grouped `by`.

    Must be what the transaction begins with.
    """
    return [_used(row) for row in usage.of(session, first, last, [GROUPS[by]], caller.tenant_id)]


def of_tenants(
    session: Session, first: dt.date, last: dt.date, by: str, tenant: str | None = None
) -> list[tuple[str, Used]]:
    """What each tenant used, or the one of that name: with their names, in the order of these.

    Must be what the transaction begins with. Raises `NotFound` when there is no tenant of that name.
    """
    rows = usage.of(session, first, last, ["tenant_id", GROUPS[by]])
    names = tenants.names(session)
    if tenant is not None and tenant not in names.values():
        raise errors.NotFound(f"no tenant {tenant}")
    found = [(names[row.tenant_id], _used(row[1:])) for row in rows]
    return sorted((one for one in found if tenant in (None, one[0])), key=lambda one: one[0])


def total(used: Sequence[Used]) -> Used:
    spent = [one.spent for one in used]
    return Used(
        "total",
        sum(one.jobs for one in used),
        Spent(
            sum(one.prompt for one in spent),
            sum(one.completion for one in spent),
            sum(one.embedding for one in spent),
            sum(one.cached for one in spent),
        ),
    )


def _used(row: Sequence[Any]) -> Used:
    of, jobs, *tokens = row
    return Used(str(of), jobs, Spent(*tokens))
