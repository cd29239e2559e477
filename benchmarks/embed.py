"""Texts embedded per second, through the platform and by the bare engine host: `python -m benchmarks.embed`.

Both sides get the same texts, as text, and give float32 back; they take turns. The host gets them in batches of the
size that the platform makes; and once more one text a request, over as many connections as the platform's clients have.
"""

import asyncio
import itertools
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from benchmarks import hosts, stacks, tables, wire
from benchmarks.clients import Direct
from benchmarks.stacks import Stack
from benchmarks.tables import Table, median
from db import session as db_session
from tasks import keys
from workers.batcher import BATCHES_IN_FLIGHT, TEXTS_OF_A_BATCH

MODEL = stacks.ROOT / "models" / "demo-embed-Q8_0.gguf"
CATALOG = """
[demo-embed]
engine = "llamacpp"
file = "{file}"
context = 512
slots = 16
types = ["embed"]
"""
TEXTS = 1000
CONNECTIONS = 8
HOSTS_PATIENCE = 25  # requests on a connection: after a hundred the host closes it
TENANTS = 10
WORDS = ("river", "stone", "window", "garden", "letter", "engine", "morning", "silver", "harbour", "paper", "candle")


@dataclass(frozen=True, slots=True)
class Load:
    """How the texts are asked for: so many jobs, spread over so many tenants."""

    title: str
    jobs: int
    tenants: int


LOADS = [
    Load(f"1 job of {TEXTS}", 1, 1),
    Load(f"{TEXTS} jobs of 1", TEXTS, 1),
    Load(f"{TEXTS} jobs of 1, {TENANTS} tenants", TEXTS, TENANTS),
    Load(f"{TENANTS} jobs of {TEXTS // TENANTS}, {TENANTS} tenants", TENANTS, TENANTS),
]


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True)
def main(rounds: int) -> None:
    console = Console(width=max(140, Console().width))
    if not MODEL.is_file():
        raise click.ClickException(f"{MODEL} isn't there: `make embedding` makes it")
    with (
        tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder,
        stacks.platform(Path(folder) / "embed", CATALOG.format(file=MODEL)) as stack,
        hosts.embedding_host(MODEL, context=512) as host,
    ):
        callers = _keys(stack, TENANTS)
        for load in LOADS:  # both sides warm
            asyncio.run(_through(stack, callers, load, _texts(TEXTS // 10)))
        tables.show(console, _compare(stack, host.client, callers, rounds))


def _compare(stack: Stack, direct: Direct, callers: Sequence[str], rounds: int) -> Table:
    rows = []
    for load in LOADS:
        through, beside, singly, cpu = [], [], [], []
        for _ in range(rounds):
            texts = _texts(TEXTS)
            before = stacks.cpu_s(stack.roles())
            through.append(asyncio.run(_through(stack, callers, load, texts)))
            after = stacks.cpu_s(stack.roles())
            beside.append(asyncio.run(directly(direct, texts, TEXTS_OF_A_BATCH, BATCHES_IN_FLIGHT)))
            singly.append(asyncio.run(directly(direct, texts, 1, CONNECTIONS)))
            ours = [role for role in after if not role.startswith("engine host")]
            cpu.append(1000 * sum(after[role] - before[role] for role in ours) / len(texts))
        ratios = [
            median([ours / theirs for ours, theirs in zip(through, other, strict=True)]) for other in (beside, singly)
        ]
        rows.append((load.title, *map(median, (through, beside, singly)), *ratios, median(cpu)))
    columns = (
        *("", "texts/s platform", "texts/s host", "host, one a request", "of the host", "of it, one a request"),
        "CPU ms/text beside the host",
    )
    note = (
        f"{rounds} rounds, medians; texts of about 20 tokens; batches of {TEXTS_OF_A_BATCH}, {BATCHES_IN_FLIGHT} in"
        f" flight; {os.cpu_count()} cores, shared with the client"
    )
    return Table("How many texts are embedded per second?", columns, rows, note)


async def _through(stack: Stack, callers: Sequence[str], load: Load, texts: Sequence[str]) -> float:
    """Texts per second, from the first submission to the moment PostgreSQL has for the last job's end."""
    size = -(-len(texts) // load.jobs)
    jobs = [list(texts[start : start + size]) for start in range(0, len(texts), size)]
    began_at = time.time()
    since = stack.query("SELECT clock_timestamp()")[0]

    async def submit(connection: int) -> None:
        reader, writer = await asyncio.open_connection(*stack.address)
        for number in range(connection, len(jobs), CONNECTIONS):
            body = {"type": "embed", "input": {"texts": jobs[number]}}
            sent = wire.request("POST", "/v1/jobs", callers[number % load.tenants], body)
            status, answer = await wire.exchange(reader, writer, sent)
            assert status == 202, answer
        writer.close()

    await asyncio.gather(*map(submit, range(min(CONNECTIONS, len(jobs)))))
    counted = (
        "SELECT count(*) FILTER (WHERE status = 'succeeded'), extract(epoch FROM max(finished_at))::float8"
        " FROM jobs WHERE created_at >= %s"
    )
    while (row := stack.query(counted, since))[0] < len(jobs):
        await asyncio.sleep(0.2)
    return len(texts) / (row[1] - began_at)


async def directly(direct: Direct, texts: Sequence[str], size: int, in_flight: int) -> float:
    """Texts per second of the host called directly, so many of them a request and so many requests in flight."""
    batches = iter([list(texts[at : at + size]) for at in range(0, len(texts), size)])
    began_at = time.time()

    async def ask() -> None:
        while some := list(itertools.islice(batches, HOSTS_PATIENCE)):
            reader, writer = await asyncio.open_connection(*direct.address)
            for batch in some:
                body = {"input": batch, "encoding_format": "base64"}
                sent = wire.request("POST", "/v1/embeddings", direct.key, body)
                status, answer = await wire.exchange(reader, writer, sent)
                assert status == 200, answer
            writer.close()

    await asyncio.gather(*[ask() for _ in range(in_flight)])
    return len(texts) / (time.time() - began_at)


def _keys(stack: Stack, tenants: int) -> list[str]:
    engine = db_session.open_engine(stack.environment("FOREBAY_DATABASE_URL"), pool_size=1)
    pepper = stack.environment("FOREBAY_KEY_PEPPER")
    with db_session.open_sessions(engine).begin() as session:
        made = [keys.create(session, pepper=pepper, tenant=f"bench-{n}", name="bench").key for n in range(tenants)]
    engine.dispose()
    return made


def _texts(count: int) -> list[str]:
    """Some eighteen words each; never the same twice."""
    return [" ".join(random.choices(WORDS, k=17)) + f" {random.randrange(10**4)}" for _ in range(count)]


if __name__ == "__main__":
    main()
