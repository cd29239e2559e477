"""A question end to end, beside its two model calls alone: `python -m benchmarks.asking [--model gemma]`.

The calls are made directly to engine hosts with a worker's settings: the question embedded, then the very prompt of the
job answered. What is between is the platform: two queues, two claims, a search, the streams.
"""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import hosts, stacks, tables, wire
from benchmarks.clients import Direct
from benchmarks.stacks import Stack
from benchmarks.subjects import SUBJECTS
from benchmarks.tables import Table, median, percentile
from models import embedding
from tasks.documents import questions

FACTS = (stacks.ROOT / "cli" / "launcher" / "tour" / "fact_sheet.txt").read_text(encoding="utf-8")
TEXTS = [FACTS, *(f"The lamp of room {number} is in the cellar. It costs {number} coins." for number in range(200))]
QUESTIONS = ["What is the code of the harbour?", "Where is the red lamp?", "How much does the boat cost?"]
ANSWER_TOKENS = 24


@click.command(help=__doc__)
@click.option("--jobs", default=60, show_default=True)
@click.option("--model", type=click.Choice(list(SUBJECTS)), default="demo", show_default=True, help="Which answers.")
def main(jobs: int, model: str) -> None:
    console, subject = Console(width=max(120, Console().width)), SUBJECTS[model]
    with (
        tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder,
        stacks.platform(Path(folder) / "asking", subject.shipped()) as stack,
        hosts.embedding_host(embedding.FILE, context=512, threads=1) as embedder,
        hosts.host(subject.file, slots=4, context=subject.context, threads=1) as writer,
    ):
        tables.show(console, asyncio.run(_measure(stack, embedder.client, writer.client, jobs, subject.turn)))


async def _measure(stack: Stack, embedder: Direct, writer: Direct, jobs: int, turn: str) -> Table:
    documents = [{"text": text} for text in TEXTS]
    for start in range(0, len(documents), 100):
        job = await _ask(
            stack, "POST", "/v1/documents", {"collection": "facts", "documents": documents[start : start + 100]}
        )
        assert (await _ended(stack, job["id"]))["status"] == "succeeded"
    whole, alone, searches = [], [], []
    for number in range(jobs):
        question = QUESTIONS[number % len(QUESTIONS)]
        began_at = time.perf_counter()
        job = await _ended(stack, (await _ask(stack, "POST", "/v1/jobs", _job(question)))["id"])
        whole.append(1000 * (time.perf_counter() - began_at))
        prompt = turn.format(questions.prompt(question, job["result"]["passages"]))
        alone.append(1000 * await _alone(embedder, writer, question, prompt))
        began_at = time.perf_counter()
        await _ask(stack, "POST", "/v1/search", {"collection": "facts", "query": question})
        searches.append(1000 * (time.perf_counter() - began_at))
    rows = [
        (name, median(values), percentile(values, 99))
        for name, values in (("the job", whole), ("its two calls alone", alone), ("a search over HTTP", searches))
    ]
    note = f"{jobs} questions over {len(TEXTS)} documents, one thread a model, at most {ANSWER_TOKENS} tokens of answer"
    return Table("How long does a question take?", ("", "p50 ms", "p99 ms"), rows, note)


def _job(question: str) -> dict[str, Any]:
    params = {"temperature": 0, "max_tokens": ANSWER_TOKENS}
    return {"type": "rag", "input": {"question": question, "collection": "facts"}, "params": params}


async def _alone(embedder: Direct, writer: Direct, question: str, prompt: str) -> float:
    began_at = time.perf_counter()
    await _call(embedder, "/v1/embeddings", {"input": [question], "encoding_format": "base64"})
    await _call(
        writer, "/completion", {"prompt": prompt, "n_predict": ANSWER_TOKENS, "temperature": 0, "cache_prompt": False}
    )
    return time.perf_counter() - began_at


async def _call(host: Direct, path: str, body: dict[str, object]) -> None:
    reader, writer = await asyncio.open_connection(*host.address)
    status, answer = await wire.exchange(reader, writer, wire.request("POST", path, host.key, body))
    writer.close()
    assert status == 200, answer


async def _ended(stack: Stack, job_id: str) -> dict[str, Any]:
    return await _ask(stack, "GET", f"/v1/jobs/{job_id}?wait=60")


async def _ask(stack: Stack, method: str, path: str, body: object = None) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection(*stack.address)
    status, answer = await wire.exchange(reader, writer, wire.request(method, path, stack.key, body))
    writer.close()
    assert status < 300, answer
    return dict(json.loads(answer))


if __name__ == "__main__":
    main()
