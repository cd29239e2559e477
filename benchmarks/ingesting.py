"""How fast documents are ingested, and what searches feel of it: `python -m benchmarks.ingesting`.

The bare engine host is given what the platform embedded of the documents, in batches of the size that the platform
makes; both take turns. Then somebody searches over HTTP, one search after the other: while nothing else happens, and
while six ingests of long documents run.
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import embed, hosts, stacks, tables
from benchmarks.clients import Direct, Platform
from benchmarks.stacks import Stack
from benchmarks.tables import Table, median, percentile
from tasks import ids
from workers.batcher import BATCHES_IN_FLIGHT, TEXTS_OF_A_BATCH

INGESTS = 6
LONG = 4_000  # sentences of a document that six of are ingested at once
SENTENCE_WORDS = 11
TOP_K = 10


@click.command(help=__doc__)
@click.option("--sentences", default=6_000, show_default=True, help="That are ingested in a round.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--searches", default=200, show_default=True)
def main(sentences: int, rounds: int, searches: int) -> None:
    console = Console(width=max(120, Console().width))
    if not embed.MODEL.is_file():
        raise click.ClickException(f"{embed.MODEL} isn't there: `make embedding` makes it")
    console.print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f} over the last minute")
    with (
        tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder,
        stacks.platform(Path(folder) / "ingesting", embed.CATALOG.format(file=embed.MODEL)) as stack,
    ):
        with hosts.embedding_host(embed.MODEL, context=512) as host:
            tables.show(console, asyncio.run(_throughput(stack, host.client, sentences, rounds)))
        tables.show(console, asyncio.run(_searches(stack, searches)))
    console.print(f"load after: {os.getloadavg()[0]:.1f}")


async def _throughput(stack: Stack, direct: Direct, sentences: int, rounds: int) -> Table:
    rows = []
    for documents in (1, 50):
        through, beside = [], []
        for number in range(rounds + 1):
            texts = [_text(sentences // documents) for _ in range(documents)]
            took_s, job_id = await _ingested(stack, texts)
            embedded = _embedded(stack, job_id)
            bare = await embed.directly(direct, embedded, TEXTS_OF_A_BATCH, BATCHES_IN_FLIGHT)
            if number:  # the first warms both sides
                through.append(len(embedded) / took_s)
                beside.append(bare)
        ratio = median([ours / theirs for ours, theirs in zip(through, beside, strict=True)])
        rows.append((f"{documents} of {sentences // documents:,} sentences", median(through), median(beside), ratio))
    columns = ("documents", "chunks/s platform", "chunks/s host", "of the host")
    note = f"{rounds} rounds, medians; from the submission to the end of the job; batches of {TEXTS_OF_A_BATCH}"
    return Table("How fast are documents ingested?", columns, rows, note)


async def _searches(stack: Stack, searches: int) -> Table:
    platform = Platform(stack, embed.MODEL.stem)
    await _timed(platform, 20)
    quiet = await _timed(platform, searches)
    async with _ingesting(platform):
        busy = await _timed(platform, searches)
    rows: list[tuple[str, float, float, float | None]] = [
        ("nothing else", median(quiet), percentile(quiet, 95), None),
        (f"{INGESTS} ingests", median(busy), percentile(busy, 95), percentile(busy, 95) / percentile(quiet, 95)),
    ]
    chunks = stack.query("SELECT sum(chunks) FROM documents WHERE status = 'ready'")[0]
    note = f"{searches} searches one after the other, over HTTP; {chunks:,} chunks in all; aim: at most twice the p95"
    return Table("What do searches feel of ingests?", ("meanwhile", "p50 ms", "p95 ms", "of the quiet p95"), rows, note)


async def _timed(platform: Platform, searches: int) -> list[float]:
    took = []
    for _ in range(searches):
        began = time.perf_counter()
        await platform.ask("POST", "/v1/search", {"collection": "found", "query": _text(1), "top_k": TOP_K})
        took.append(1000 * (time.perf_counter() - began))
    return took


@asynccontextmanager
async def _ingesting(platform: Platform) -> AsyncIterator[None]:
    """Keeps so many ingests running for as long as the block does, and cancels what is left then."""
    jobs = [""] * INGESTS

    async def keep(place: int) -> None:
        while True:
            body = {"collection": "long", "documents": [{"text": _text(LONG)}]}
            jobs[place] = (await platform.ask("POST", "/v1/documents", body))["id"]
            await _ended(platform, jobs[place])

    kept = [asyncio.create_task(keep(place)) for place in range(INGESTS)]
    began = "SELECT count(*) FROM jobs WHERE type = 'ingest' AND status = 'running'"
    while platform.stack.query(began)[0] < INGESTS:
        await asyncio.sleep(0.1)
    try:
        yield
    finally:
        for task in kept:
            task.cancel()
        await asyncio.gather(*kept, return_exceptions=True)
        for job in jobs:
            await platform.cancel(job)


async def _ingested(stack: Stack, texts: Sequence[str]) -> tuple[float, str]:
    """The seconds that it took, and the job's id."""
    platform = Platform(stack, embed.MODEL.stem)
    began_at = time.perf_counter()
    body = {"collection": "found", "documents": [{"text": text} for text in texts]}
    job_id = (await platform.ask("POST", "/v1/documents", body))["id"]
    ended = await _ended(platform, job_id)
    assert ended["status"] == "succeeded", ended
    return time.perf_counter() - began_at, job_id


async def _ended(platform: Platform, job_id: str) -> dict[str, Any]:
    while (job := await platform.ask("GET", f"/v1/jobs/{job_id}?wait=60"))["finished_at"] is None:
        pass
    return job


def _embedded(stack: Stack, job_id: str) -> list[str]:
    """What the platform embedded for the job: of each chunk the context and the text."""
    return list(stack.query(_EMBEDDED, ids.parse(job_id))[0])


_EMBEDDED = """
    SELECT array_agg(concat_ws(E'\\n', chunks.context, chunks.text) ORDER BY document_id, number)
    FROM chunks JOIN documents ON documents.id = document_id
    WHERE documents.job_id = %s
"""


def _text(sentences: int) -> str:
    """Never the same sentence twice."""
    return " ".join(
        f"{' '.join(random.choices(embed.WORDS, k=SENTENCE_WORDS))} {random.randrange(10**9)}."
        for _ in range(sentences)
    )


if __name__ == "__main__":
    main()
