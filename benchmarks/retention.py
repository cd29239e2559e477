"""What is left when jobs are removed after their ends: `python -m benchmarks.retention [--jobs 20000]`.

In PostgreSQL alone, by the functions that the API, workers and the sweep call. Jobs are submitted, claimed, finished,
removed with a retention of zero while others are submitted; then as many come again, into the room that is free.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import redis
from rich.console import Console
from sqlalchemy import Engine, text

from benchmarks import stacks, tables
from benchmarks.tables import Table
from db import session as db_session
from db import tenants
from db.jobs import Job
from db.session import Sessions
from tasks import ids, kinds
from tasks.jobs import attempts, finishing, jobs
from tasks.jobs.finishing import Finish
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.keys import Caller
from tasks.kinds import KINDS
from tasks.limits.spent import Spent
from tasks.models.catalog import Catalog, Model
from tasks.streams.events import Delta
from tasks.streams.transcript import Transcript
from tasks.sweep.chore import Sweep
from tasks.sweep.retention import Retention

MODELS: Catalog = {"echo": Model("echo", "echo", context=4096, slots=4, types=("generate",), default=True)}
WORDS = 200  # of a prompt, and of its answer
HANDS = 4
LOT = 20
TABLES = ("jobs", "job_outputs", "job_attempts", "ledger")
SUMS = """
SELECT count(*), sum(prompt_tokens), sum(completion_tokens), md5(string_agg(l::text, '' ORDER BY job_id)) FROM ledger l
"""


@click.command(help=__doc__)
@click.option("--jobs", "number", default=20_000, show_default=True)
def main(number: int) -> None:
    console = Console(width=max(140, Console().width))
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name, stacks.postgres(Path(name)) as server:
        engine = db_session.open_engine(str(_url(server)), pool_size=HANDS + 2, statement_timeout_s=600)
        for table in measured(engine, number):
            tables.show(console, table)
        engine.dispose()
    console.print(f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}")


def _url(engine: Engine) -> str:
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def measured(engine: Engine, number: int) -> Iterator[Table]:
    sessions = db_session.open_sessions(engine)
    with sessions.begin() as session:
        caller = Caller(tenants.named(session, "bench", ids.new()).id, "k")
    yield _indexed(engine, sessions, caller)
    run(sessions, caller, number)
    full, ledger = sizes(engine), asked(engine, SUMS)
    usual = submitted(sessions, caller, lambda count: count < 400)
    rounds, beside = removed(sessions, caller)
    same = asked(engine, SUMS) == ledger
    empty = sizes(engine)
    for name in TABLES:
        execute(engine, f"VACUUM ANALYZE {name}")
    vacuumed = sizes(engine)
    run(sessions, caller, number)
    again = sizes(engine)
    stages = (full, empty, vacuumed, again)
    rows = [(name, *(cell for stage in stages for cell in stage[name])) for name in full]
    heads = (f"with {number:,} jobs", "they are removed", "VACUUM", f"{number:,} again")
    yield Table(
        "How large are the tables and their indexes?",
        ("", *(column for head in heads for column in (f"{head}: rows", "MB"))),
        rows,
        note=f"The ledger is the same to the byte: {same}",
    )
    yield Table(
        "What does removing cost those who submit meanwhile?",
        ("rounds", "seconds of work", "jobs a second of work", "submit p50 ms, alone", "beside", "p99 alone", "beside"),
        [
            (
                len(rounds),
                sum(rounds),
                number / sum(rounds),
                *(_ms(values, 50) for values in (usual, beside)),
                *(_ms(values, 99) for values in (usual, beside)),
            )
        ],
    )


def _ms(seconds: list[float], percent: int) -> float:
    return 1000 * tables.percentile(seconds, percent)


def _indexed(engine: Engine, sessions: Sessions, caller: Caller) -> Table:
    """What `jobs_ended` adds to a job, in bytes of WAL: an end writes it once."""
    own = asked(engine, "SELECT pg_get_indexdef('jobs_ended'::regclass)")[0]
    found = {}
    for name, statement in (("with", "SELECT 1"), ("without", "DROP INDEX jobs_ended")):
        execute(engine, statement)
        run(sessions, caller, 500)  # once a page has been written whole, a change is what it is
        before = asked(engine, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0]
        run(sessions, caller, 1000)
        found[name] = float(asked(engine, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0] - before) / 1000
    execute(engine, own)
    execute(engine, "TRUNCATE jobs, job_outputs, job_attempts, ledger, webhook_deliveries")
    return Table(
        "What does the index of ended jobs cost?",
        ("", "WAL a job, bytes"),
        [(f"{name} it", value) for name, value in found.items()],
    )


def plan(caller: Caller) -> Callable[[Any], Plan]:
    request = KINDS["generate"].parse(Stored({"prompt": "word " * WORDS}, {"max_tokens": WORDS}))
    asked = Submission("generate", "echo", request)
    return lambda session: kinds.plan(session, MODELS, caller, asked)


def run(sessions: Sessions, caller: Caller, number: int) -> None:
    """So many jobs from their submission to their end, by some hands at a time."""
    said = Transcript()
    for word in range(WORDS):
        said.add(Delta(f"word {word} "), (word,))

    def lot(_: int) -> None:
        made = []
        for _ in range(LOT):
            with sessions.begin() as session:
                made.append(jobs.insert(session, caller, plan(caller)(session))[0].id)
        with sessions.begin() as session:
            ready = "UPDATE jobs SET status = 'dispatched', dispatched_at = now() WHERE id = ANY(:ids)"
            session.execute(text(ready), {"ids": made})
        with sessions.begin() as session:
            attempts.claim(session, made, queue="echo", worker_id="w")
        outcome = Outcome(Status.SUCCEEDED, Spent(WORDS, WORDS), {"text": "word " * WORDS, "finish_reason": "length"})
        with sessions.begin() as session:
            finishing.finish_untold(session, [Finish(job_id, 1, said, outcome, 0.1) for job_id in made])

    with ThreadPoolExecutor(HANDS) as hands:
        list(hands.map(lot, range(number // LOT)))


def submitted(sessions: Sessions, caller: Caller, goes_on: Callable[[int], bool]) -> list[float]:
    """Seconds of each submit, fifty a second."""
    took: list[float] = []
    while goes_on(len(took)):
        began_at = time.monotonic()
        with sessions.begin() as session:
            jobs.insert(session, caller, plan(caller)(session))
        took.append(time.monotonic() - began_at)
        time.sleep(max(0.0, 0.02 - took[-1]))
    return took


def removed(sessions: Sessions, caller: Caller) -> tuple[list[float], list[float]]:
    """Seconds of each round of the chore, one a second as in a worker, and of submits beside them."""
    own, rounds, done = Retention(0), list[float](), threading.Event()
    sweep = Sweep(sessions, redis.Redis(), redis.Redis(), 4, 0, steady=True, kept_s=0)
    with ThreadPoolExecutor(1) as beside:
        asking = beside.submit(submitted, sessions, caller, lambda _: not done.is_set())
        while _any_ended(sessions):
            began_at = time.monotonic()
            own.forget(sweep)
            rounds.append(time.monotonic() - began_at)
            time.sleep(max(0.0, 1 - rounds[-1]))
        done.set()
        return rounds, asking.result()


def _any_ended(sessions: Sessions) -> bool:
    with sessions() as session:
        return bool(session.query(Job.id).where(Job.finished_at.is_not(None)).limit(1).all())


def sizes(engine: Engine) -> dict[str, tuple[int, float]]:
    """Rows, and MB of a table or an index."""
    found: dict[str, tuple[int, float]] = {}
    for name in TABLES:
        count, size = asked(engine, f"SELECT count(*), pg_table_size('{name}') FROM {name}")
        found[name] = count, size / 1e6
        found[f"  indexes of {name}"] = count, asked(engine, f"SELECT pg_indexes_size('{name}')")[0] / 1e6
    return found


def asked(engine: Engine, statement: str) -> Any:
    with engine.connect() as connection:
        return connection.execute(text(statement)).one()


def execute(engine: Engine, statement: str) -> None:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(statement))


if __name__ == "__main__":
    main()
