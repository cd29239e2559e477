"""Durable jobs beside other queues on the same PostgreSQL, in turn: `python -m benchmarks.queues [--rounds 5]`.

Ours go over HTTP and make one token; procrastinate's and pgqueuer's do nothing, and know neither HTTP, streams nor
usage; bare Celery's aren't durable. All run all the time, so that the machine's noise meets each: trust the ratios.
What our platform costs while it idles is in the others' PostgreSQL too.
"""

import json
import os
import subprocess
import tempfile
import time
import urllib.parse
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import psutil
import psycopg
from rich.console import Console

from benchmarks import finishing, jobs, stacks, tables
from benchmarks.finishing import ROLES, Run
from benchmarks.stacks import Stack
from benchmarks.tables import Table, median

CONNECTIONS = 16
SLOTS = 8
WARM_JOBS = 100
VERSIONS = {"procrastinate": "3.10.0", "pgqueuer": "1.6.0", "asyncpg": "0.32.0", "uvloop": "0.23.0", "psycopg": "3.3.9"}
EXTRAS = {"psycopg": "[binary]"}
ASKED = "import importlib.metadata as m, sys; print(*[m.version(name) for name in sys.argv[1:]])"
PROCRASTINATE_ENDED = (
    "SELECT count(*), extract(epoch FROM max(at))::float8 FROM procrastinate_events"
    " WHERE type = 'succeeded' AND at >= %s"
)
PGQUEUER_ENDED = (
    "SELECT count(*), extract(epoch FROM max(created))::float8 FROM pgqueuer_log"
    " WHERE status = 'successful' AND created >= %s"
)


@dataclass(frozen=True, slots=True)
class Library:
    """A queue beside ours: its module here, how its worker is set, and the statement that counts a round's ends."""

    name: str
    module: str
    settings: tuple[int, ...]
    ended: str


LIBRARIES = (
    Library("procrastinate, 8 at once", "benchmarks.beside_procrastinate", (SLOTS,), PROCRASTINATE_ENDED),
    Library("pgqueuer, 8 at once", "benchmarks.beside_pgqueuer", (SLOTS, SLOTS // 2), PGQUEUER_ENDED),
    Library("pgqueuer as it comes", "benchmarks.beside_pgqueuer", (0, 10), PGQUEUER_ENDED),
)


@click.command(help=__doc__)
@click.option("--rounds", default=5, show_default=True)
@click.option("--jobs", "count", default=1000, show_default=True, help="How many a round.")
@click.option("--venv", "ready", type=click.Path(path_type=Path), help="Has the other queues; else one is made.")
def main(rounds: int, count: int, ready: Path | None) -> None:
    console = Console(width=max(160, Console().width))
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        folder = Path(name)
        python = _python(ready or _made(folder / "venv"))
        load = os.getloadavg()[0]
        with stacks.platform(folder / "platform", jobs.catalog("echo", None, 4096, SLOTS)) as stack:
            table = _measure(stack, python, rounds, count)
        tables.show(console, table)
        console.print(f"{os.cpu_count()} cores; load over a minute {load:.1f} before, {os.getloadavg()[0]:.1f} after")


def _made(folder: Path) -> Path:
    """A new environment with the other queues. Raises `ClickException` when they can't be had."""
    wanted = [f"{name}{EXTRAS.get(name, '')}=={version}" for name, version in VERSIONS.items()]
    try:
        venv.create(folder, with_pip=True)
        argv = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted]
        subprocess.run(argv, check=True, stderr=subprocess.PIPE, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", None) or str(error)
        raise click.ClickException(
            f"no environment for {' '.join(wanted)} could be made; make one and name it with --venv.\n{why}"
        ) from error
    return folder


def _python(folder: Path) -> Path:
    """The environment's interpreter. Raises `ClickException` when it lacks the versions that are to be measured."""
    python = folder.absolute() / "bin" / "python"
    try:
        seen = subprocess.run([python, "-c", ASKED, *VERSIONS], check=False, capture_output=True, text=True)
    except OSError as error:
        raise click.ClickException(f"{folder} is no environment: {error}") from error
    if seen.stdout.split() != list(VERSIONS.values()):
        has = (seen.stdout or seen.stderr).strip().splitlines()[-1]
        raise click.ClickException(f"{folder} must have {VERSIONS}; it answers: {has}")
    return python


def _measure(stack: Stack, python: Path, rounds: int, count: int) -> Table:
    with ExitStack() as running:
        worker = running.enter_context(finishing.bare_worker(stack, SLOTS))
        sides: dict[str, Callable[[int], Run]] = {
            "our platform": partial(finishing.through, stack, connections=CONNECTIONS)
        }
        for number, library in enumerate(LIBRARIES):
            sides[library.name] = running.enter_context(_beside(stack, python, library, f"beside_{number}"))
        sides["bare Celery, not durable"] = partial(finishing.bare, stack, worker)
        for side in sides.values():
            side(WARM_JOBS)
        runs: dict[str, list[Run]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                runs[name].append(side(count))
    columns = ("", "jobs/s", "of ours", "CPU ms/job: all", "client", *ROLES)
    ours = median([run.per_s for run in runs["our platform"]])
    rows = [_row(name, own, ours) for name, own in runs.items()]
    versions = ", ".join(f"{name} {version}" for name, version in VERSIONS.items())
    note = (
        f"medians of {rounds} rounds of {count} jobs, submitted one by one, {CONNECTIONS} at once (bare Celery's 1);"
        f"\nas it comes: any number at once, fetched by tens; {versions}"
    )
    return Table("How many durable jobs per second, beside other queues?", columns, rows, note)


def _row(name: str, runs: list[Run], ours: float) -> tuple[str | float | None, ...]:
    seen = [role for role in ("client", *ROLES) if role in runs[0].cpu]
    total = median([sum(run.cpu[role] for role in seen) for run in runs])
    cpu = [median([run.cpu[role] for run in runs]) if role in seen else None for role in ("client", *ROLES)]
    per_s = median([run.per_s for run in runs])
    return (name, per_s, per_s / ours, total, *cpu)


@contextmanager
def _beside(stack: Stack, python: Path, library: Library, database: str) -> Iterator[Callable[[int], Run]]:
    """A library with its worker on a database of its own; what is yielded plays a round of so many jobs."""
    shared = stack.environment("FOREBAY_DATABASE_URL")
    with psycopg.connect(shared, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
    url = urllib.parse.urlsplit(shared)._replace(path="/" + database).geturl()
    argv = [str(python), "-m", library.module, url]
    subprocess.run([*argv, "install"], cwd=stacks.ROOT, check=True)
    with (
        psycopg.connect(url, autocommit=True) as watcher,
        subprocess.Popen([*argv, "work", *map(str, library.settings)], cwd=stacks.ROOT) as worker,
    ):
        try:
            yield lambda count: _round(stack, library, watcher, argv, worker, count)
        finally:
            worker.terminate()


def _round(
    stack: Stack,
    library: Library,
    watcher: psycopg.Connection[Any],
    argv: list[str],
    worker: subprocess.Popen[bytes],
    count: int,
) -> Run:
    since = watcher.execute("SELECT clock_timestamp()").fetchone()
    told = [*argv, "submit", str(count), str(CONNECTIONS)]
    with subprocess.Popen(told, cwd=stacks.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        client.stdout.readline()
        before = _spent_s(stack, worker.pid)
        seen = json.loads(client.communicate("go\n")[0])
    while (row := watcher.execute(library.ended.encode(), since).fetchone()) is None or row[0] < count:
        if worker.poll() is not None:
            raise RuntimeError(f"the worker of {library.name} ended with status {worker.returncode}")
        time.sleep(0.1)
    after = _spent_s(stack, worker.pid)
    cpu = {role: 1000 * (after[role] - before[role]) / count for role in after}
    return Run(count / (row[1] - seen["began_at"]), {**cpu, "client": 1000 * seen["cpu_s"] / count}, [])


def _spent_s(stack: Stack, worker: int) -> dict[str, float]:
    """CPU seconds so far of the worker, and of PostgreSQL with the sessions that have ended."""
    roles = {"worker": [psutil.Process(worker)], "postgres": stack.roles()["postgres"]}
    ended = roles["postgres"][0].cpu_times()
    spent = stacks.cpu_s(roles)
    return {**spent, "postgres": spent["postgres"] + ended.children_user + ended.children_system}


if __name__ == "__main__":
    main()
