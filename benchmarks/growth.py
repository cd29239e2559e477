"""What lists, positions and totals cost as tables grow: `python -m benchmarks.growth`.

In PostgreSQL alone, by the functions that the API calls: each statement that they send is explained. Filling a million
rows takes a few minutes.
"""

import datetime as dt
import os
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from rich.console import Console
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from benchmarks import crowd, plans, stacks, tables
from benchmarks.plans import Cost
from benchmarks.tables import Table
from db import session as db_session
from db.session import Sessions
from tasks.jobs import jobs
from tasks.keys import Caller
from tasks.limits import usage
from tasks.queues import places
from tasks.sweep import bookkeeping

LEASE_S = 36000.0
_TRIES = 3
_LEDGERS = """
SELECT (ended_at AT TIME ZONE 'UTC')::date, count(*), sum(prompt_tokens), sum(completion_tokens), sum(embedding_tokens),
       sum(cached_tokens)
FROM ledger WHERE tenant_id = :tenant AND ended_at >= :since GROUP BY 1 ORDER BY 1
"""

Question = Callable[[Session], object]


@click.command(help=__doc__)
@click.option("--rows", "sizes", default=(100_000, 1_000_000), show_default=True, multiple=True)
def main(sizes: tuple[int, ...]) -> None:
    console = Console(width=max(140, Console().width))
    console.print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f} over the last minute")
    found = {size: _grown(size) for size in sizes}
    columns = [column for size in sizes for column in (f"{size:,}: ms", "pages", "rows read")]
    rows = [(name, *(cell for size in sizes for cell in _cells(found[size][name]))) for name in found[sizes[0]]]
    tables.show(console, Table("What does it cost to ask, by EXPLAIN ANALYZE?", ("", *columns), rows))
    console.print(f"load after: {os.getloadavg()[0]:.1f}")


def _grown(size: int) -> dict[str, Cost]:
    """The costs in a database of its own with so many jobs, a twentieth of them waiting."""
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder, stacks.postgres(Path(folder)) as engine:
        with db_session.open_sessions(engine).begin() as session:
            session.execute(text("SET LOCAL synchronous_commit = off"))
            owners = crowd.fill(session, ended=size, waiting=size // 20)
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            for table in crowd.TABLES:
                connection.execute(text(f"VACUUM ANALYZE {table}"))
        return asked(engine, owners)


def asked(engine: Engine, owners: Sequence[uuid.UUID]) -> dict[str, Cost]:
    """What each question costs in tables that `crowd.fill` has made, for these tenants."""
    _add_up(db_session.open_sessions(engine))
    with db_session.open_sessions(engine)() as session:
        questions = _questions(session, Caller(owners[0], "k"), Caller(owners[3], "k"))
        return {name: _least(engine, session, ask) for name, ask in questions.items()}


def _add_up(sessions: Sessions) -> None:
    """Has the chore add up the ledger, as it does in the rounds of a sweep."""
    for _ in range(2):
        done = False
        while not done:
            with sessions.begin() as session:
                done = bookkeeping.add(session, margin_s=0)


def _questions(session: Session, big: Caller, small: Caller) -> dict[str, Question]:
    """What a tenant with half of all jobs asks, or one with a fortieth."""
    today = dt.datetime.now(dt.UTC).date()
    hour_ago = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    deep = session.scalar(
        text("SELECT id FROM jobs WHERE tenant_id = :tenant ORDER BY id LIMIT 1 OFFSET 1000"), {"tenant": big.tenant_id}
    )

    def listed(caller: Caller, **filters: object) -> Question:
        return lambda session: jobs.page(session, caller, limit=20, **filters)

    def position(caller: Caller, lane: str) -> Question:
        job_id = _last_waiting(session, caller, lane)
        return lambda session: places.wait(session, job_id, LEASE_S)

    return {
        "list": listed(big),
        "list, a page deep down": listed(big, before=deep),
        "list status=failed, the big tenant's": listed(big, status="failed"),
        "list status=failed, a small one's": listed(small, status="failed"),
        "list status=expired, where none are": listed(big, status="expired"),
        "list status=queued, the big tenant's": listed(big, status="queued"),
        "list status=queued, a small one's": listed(small, status="queued"),
        "list status=running, where none are": listed(big, status="running"),
        "list status=succeeded": listed(big, status="succeeded"),
        "list type=rag, where none are": listed(big, type="rag"),
        "list type=embed": listed(big, type="embed"),
        "list model=rare": listed(small, model="rare"),
        "list since an hour ago": listed(small, since=hour_ago),
        "list model=rare since an hour ago": listed(small, model="rare", since=hour_ago),
        "list status=failed model=rare": listed(big, status="failed", model="rare"),
        "position of the big tenant's last, batch": position(big, "batch"),
        "position of a small one's last, batch": position(small, "batch"),
        "position of the big tenant's last, interactive": position(big, "interactive"),
        "position of a small one's last, interactive": position(small, "interactive"),
        "a month's usage, the big tenant's, from the ledger": _month(
            lambda session, since: session.execute(text(_LEDGERS), {"tenant": big.tenant_id, "since": since}).all()
        ),
        "a month's usage, the big tenant's": _month(lambda session, since: usage.of(session, big, since, today, "day")),
        "a month's usage, a small one's": _month(lambda session, since: usage.of(session, small, since, today, "day")),
        "a month's usage, everybody's": _month(lambda session, since: usage.of_tenants(session, since, today, "day")),
    }


def _month(ask: Callable[[Session, dt.date], object]) -> Question:
    """What is asked of thirty days, the last of them over; in a transaction of its own."""
    since = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=30)

    def asked(session: Session) -> None:
        session.rollback()
        ask(session, since)

    return asked


def _last_waiting(session: Session, caller: Caller, lane: str) -> uuid.UUID:
    last = text(
        "SELECT id FROM jobs WHERE status = 'queued' AND lane = :lane AND tenant_id = :tenant ORDER BY id DESC LIMIT 1"
    )
    return session.execute(last, {"lane": lane, "tenant": caller.tenant_id}).scalar_one()


def _least(engine: Engine, session: Session, ask: Question) -> Cost:
    """The cheapest of some tries, of all statements together."""
    tries = []
    for _ in range(_TRIES):
        session.expire_all()
        with plans.explained(engine) as costs:
            ask(session)
        tries.append(plans.together(costs))
    return min(tries, key=lambda cost: cost.ms)


def _cells(cost: Cost) -> tuple[float, int, int]:
    return cost.ms, cost.pages, cost.rows


if __name__ == "__main__":
    main()
