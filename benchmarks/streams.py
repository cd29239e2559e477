"""Measures a thousand open streams on one API process: `python -m benchmarks.streams [--streams N] [--json FILE]`.

Jobs of the echo engine say a word now and then; another process reads the same entries straight from Redis, so that
the moment of each append is known. Then the same again with fifty readers who never read a stream of large events.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import re
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import click
import psutil
import redis
from rich.console import Console

from benchmarks import stacks, tables, wire
from benchmarks.clients import Platform
from benchmarks.stacks import Stack
from benchmarks.tables import Cell, Table, percentile
from tasks import ids
from tasks.streams import stream
from tasks.streams.events import Delta
from tasks.streams.stream import Writer
from tasks.streams.transcript import Entry

JOBS = 40
NEVER_READING = 50
WORD_S = 0.5
WORDS = 600
WATCHED_S = 20.0
LOUD_BYTES = 50_000
LOUD_EVENTS = 120
CATALOG = f"""
[talking]
engine = "echo"
context = {2 * WORDS}
slots = {JOBS}
types = ["generate"]
default = true
options = {{ token_s = {WORD_S} }}

[loud]
engine = "echo"
context = {2 * WORDS}
slots = 1
types = ["generate"]
options = {{ token_s = 5.0 }}
"""
COLUMNS = (
    "open streams", "of them never reading", "events a second", "p50", "p99", "last 0.1 %",
    "memory, MB", "a stream, kB", "threads", "Redis connections",
)  # fmt: skip

# The moment at which an entry was there, by job and number.
Moments = dict[tuple[str, int], float]


@dataclass(slots=True)
class Readers:
    """Open streams, and when each event of each came."""

    seen: list[tuple[str, int, float]] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def open(self, platform: Platform, job_id: str) -> None:
        """Opens the stream from here on, again while the process says that it is too busy."""
        while True:
            reader, writer = await platform.open_events(job_id)
            if b" 200 " in await reader.readline():
                break
            writer.close()
            await asyncio.sleep(0.2)
        await reader.readuntil(b": ok")
        self.writers.append(writer)
        self.tasks.append(asyncio.create_task(self._read(job_id, reader)))

    async def _read(self, job_id: str, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if line.startswith(b"id: "):
                self.seen.append((job_id, int(line.rsplit(b"-", 1)[1]), time.perf_counter()))

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        for writer in self.writers:
            writer.close()


@click.command(help=__doc__)
@click.option("--streams", default=1000, show_default=True)
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the table here too.")
def main(streams: int, file: Path | None) -> None:
    console = Console(width=max(160, Console().width))
    console.print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f} over the last minute")
    # One process, and places of which half are enough: a tenant alone gets no more.
    settings = {"FOREBAY_API_PROCESSES": "1", "FOREBAY_API_STREAMS": str(2 * streams + 2)}
    with (
        tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder,
        stacks.platform(Path(folder) / "streams", CATALOG, **settings) as stack,
    ):
        table = asyncio.run(_measure(stack, streams))
    tables.show(console, table)
    console.print(f"load after: {os.getloadavg()[0]:.1f}")
    if file:
        file.write_text(json.dumps(asdict(table), indent=1))


async def _measure(stack: Stack, streams: int) -> Table:
    platform = Platform(stack, "talking")
    api = max(stack.roles()["api"], key=lambda process: process.memory_info().rss)
    client = redis.Redis.from_url(stack.environment("FOREBAY_REDIS_URL"))
    jobs = [await platform.submit("word " * WORDS, WORDS, number) for number in range(JOBS)]
    loud = [await Platform(stack, "loud").submit("word " * 100, 100, number) for number in range(2)][1]
    await asyncio.sleep(5)
    rows: list[tuple[Cell, ...]] = [await _row(stack, api, client, jobs, min(streams, JOBS), [])]
    rows.append(await _row(stack, api, client, jobs, streams, []))
    rows.append(await _row(stack, api, client, jobs, streams - NEVER_READING, [loud] * NEVER_READING))
    note = (
        f"milliseconds from append to client; {JOBS} jobs that say a word every {1000 * WORD_S:.0f} ms, {WATCHED_S:g} s"
    )
    return Table("How late do events come to so many readers?", COLUMNS, rows, note)


async def _row(
    stack: Stack, api: psutil.Process, client: redis.Redis, jobs: list[str], count: int, unread: list[str]
) -> tuple[Cell, ...]:
    """Opens the streams, watches them for a while, and closes them."""
    connections, before = _connections(client), api.memory_info().rss
    readers, platform = Readers(), Platform(stack, "talking")
    for first in range(0, count, 20):
        batch = range(first, min(first + 20, count))
        await asyncio.gather(*[readers.open(platform, jobs[number % len(jobs)]) for number in batch])
    sockets = [_unread(stack, job_id) for job_id in unread]
    with _shouting(client, unread[0]) if unread else contextlib.nullcontext():
        await asyncio.sleep(0.1 * LOUD_EVENTS if unread else 3)
        readers.seen.clear()
        moments = await asyncio.to_thread(_moments, stack.environment("FOREBAY_REDIS_URL"), jobs)
    delays = [1000 * (at - moments[job, seq]) for job, seq, at in readers.seen if (job, seq) in moments]
    rss, threads = api.memory_info().rss, api.num_threads()
    more = _connections(client) - connections
    readers.close()
    for each in sockets:
        each.close()
    await asyncio.sleep(3)
    spread = percentile(delays, 50), percentile(delays, 99), percentile(sorted(delays)[-len(delays) // 1000 :], 100)
    total = count + len(unread)
    return (
        total, len(unread), len(delays) / WATCHED_S, *spread,
        rss / 1e6, (rss - before) / 1e3 / total, threads, more,
    )  # fmt: skip


def _unread(stack: Stack, job_id: str) -> socket.socket:
    """A stream that was asked for and is never read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(stack.address)
    connection.sendall(wire.request("GET", f"/v1/jobs/{job_id}/events", stack.key))
    return connection


@contextlib.contextmanager
def _shouting(client: redis.Redis, job_id: str) -> Iterator[None]:
    """Writes large events into the stream of a job that waits, which no worker does at the same time.

    Fast until the kernel takes no more for who doesn't read, then as often as the others.
    """
    gone, text = threading.Event(), "x" * LOUD_BYTES
    writer = Writer(client, ids.parse(job_id) or uuid.UUID(int=0), 1, ttl_s=60)

    def shout() -> None:
        writer.open()
        seq = 0
        while not gone.wait(0.1 if seq < LOUD_EVENTS else WORD_S):
            seq += 1
            writer.append([Entry(seq, Delta(text))])

    thread = threading.Thread(target=shout)
    thread.start()
    try:
        yield
    finally:
        gone.set()
        thread.join()


def _moments(url: str, jobs: list[str]) -> Moments:
    """What another process saw of these streams, as they were written, within the time that is watched."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_watch, args=(theirs, url, jobs))
    process.start()
    moments: Moments = ours.recv()
    process.join()
    return moments


def _watch(told: Connection, url: str, jobs: list[str]) -> None:
    client = redis.Redis.from_url(url)
    names = {stream.key(ids.parse(job) or uuid.UUID(int=0)): job for job in jobs}
    cursors = dict.fromkeys(names, "$")
    moments: Moments = {}
    until = time.perf_counter() + WATCHED_S
    while time.perf_counter() < until:
        for name, entries in client.xread(cursors, block=200):
            at, name = time.perf_counter(), name.decode()
            cursors[name] = entries[-1][0].decode()
            for id, _ in entries:
                moments[names[name], int(re.sub(rb".*-", b"", id))] = at
    told.send(moments)


def _connections(client: redis.Redis) -> int:
    return int(client.info("clients")["connected_clients"])


if __name__ == "__main__":
    main()
