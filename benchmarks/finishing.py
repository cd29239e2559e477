"""Finished one-token jobs per second, through the platform and as bare Celery tasks on the same Redis."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks import stacks
from benchmarks.stacks import Stack
from benchmarks.tables import Table, median, percentile

STATISTICS_S = 10.5  # after so long without work a PostgreSQL session has reported what it did
ROLES = ("api", "worker", "redis", "postgres", "control")


@dataclass(frozen=True, slots=True)
class Run:
    """One round on one side: jobs a second, CPU milliseconds a job by role, the seconds each submission took."""

    per_s: float
    cpu: dict[str, float]
    took_s: list[float]


def measure(stack: Stack, *, rounds: int, jobs: int, connections: int, slots: int) -> Table:
    """Platform and bare Celery in turn. `slots` is how many threads the bare worker has."""
    with bare_worker(stack, slots) as worker:
        bare(stack, worker, 100)
        through(stack, 100, connections)
        time.sleep(STATISTICS_S)
        before = counters(stack)
        ours, beside = [], []
        for _ in range(rounds):
            ours.append(through(stack, jobs, connections))
            beside.append(bare(stack, worker, jobs))
        time.sleep(STATISTICS_S)
        after = counters(stack)
    done = rounds * jobs
    commits, writes, flushes = [(late - early) / done for late, early in zip(after, before, strict=True)]
    took = [1000 * seconds for run in ours for seconds in run.took_s]
    columns = ("", "jobs/s", "CPU ms/job: client", *ROLES)
    rows = [_row("platform", ours), _row("bare Celery", beside)]
    note = (
        f"{rounds} rounds of {jobs} jobs over {connections} connections; a job is {commits:.2f} transactions, of which"
        f" {writes:.2f} wrote, and {flushes:.2f} flushes to disk;\nsubmit to id under this load: p50"
        f" {percentile(took, 50):.1f} ms, p99 {percentile(took, 99):.1f} ms"
    )
    return Table("How many finished one-token jobs per second?", columns, rows, note)


def _row(name: str, runs: list[Run]) -> tuple[str | float | None, ...]:
    cpu = [median([run.cpu[role] for run in runs]) if role in runs[0].cpu else None for role in ("client", *ROLES)]
    return (name, median([run.per_s for run in runs]), *cpu)


def through(stack: Stack, jobs: int, connections: int) -> Run:
    """From the first submission to the moment PostgreSQL has for the last job's end."""
    roles = stack.roles()
    before, since = stacks.cpu_s(roles), stack.query("SELECT clock_timestamp()")[0]
    seen = _run(
        [sys.executable, "-m", "benchmarks.load", *map(str, stack.address), stack.key, str(jobs), str(connections)]
    )
    counted = (
        "SELECT count(*) FILTER (WHERE status = 'succeeded'), extract(epoch FROM max(finished_at))::float8"
        " FROM jobs WHERE created_at >= %s"
    )
    while (row := stack.query(counted, since))[0] < jobs:
        time.sleep(0.1)
    after = stacks.cpu_s(roles)
    cpu = {role: 1000 * (after[role] - before[role]) / jobs for role in after}
    cpu["worker"], cpu["client"] = cpu["worker-echo"], 1000 * seen["cpu_s"] / jobs
    return Run(jobs / (row[1] - seen["began_at"]), cpu, seen["took_s"])


def bare(stack: Stack, worker: psutil.Process, jobs: int) -> Run:
    """From the first message to the end of the last, by the worker of `bare_worker`."""
    roles = {"worker": [worker], "redis": stack.roles()["redis"]}
    before = stacks.cpu_s(roles)
    seen = _run(
        [sys.executable, "-m", "benchmarks.bare", str(jobs)], FOREBAY_REDIS_URL=stack.environment("FOREBAY_REDIS_URL")
    )
    after = stacks.cpu_s(roles)
    cpu = {role: 1000 * (after[role] - before[role]) / jobs for role in after}
    cpu["client"] = 1000 * seen["cpu_s"] / jobs
    return Run(jobs / (seen["ended_at"] - seen["began_at"]), cpu, [])


@contextmanager
def bare_worker(stack: Stack, slots: int) -> Iterator[psutil.Process]:
    """A Celery worker set up like ours."""
    argv = [sys.executable, "-m", "celery", "-A", "benchmarks.bare", "worker", "-Q", "bare", "-n", "bare@%h"]
    argv += ["--pool", "threads", "--concurrency", str(slots), "--heartbeat-interval", "10", "--loglevel", "INFO"]
    argv += ["--without-mingle", "--without-gossip"]
    env = {**os.environ, "FOREBAY_REDIS_URL": stack.environment("FOREBAY_REDIS_URL")}
    with subprocess.Popen(
        argv, cwd=stacks.ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as worker:
        try:
            yield psutil.Process(worker.pid)
        finally:
            worker.terminate()


def _run(argv: list[str], **env: str) -> Any:
    ran = subprocess.run(
        argv, cwd=stacks.ROOT, env={**os.environ, **env}, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(ran.stdout)


def counters(stack: Stack) -> Any:
    """Transactions that ended, transactions that wrote, and flushes of the log, since the server's beginning."""
    return stack.query(
        "SELECT (SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database)::float8,"
        " pg_snapshot_xmax(pg_current_snapshot())::text::float8,"
        " (SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal')::float8"
    )
