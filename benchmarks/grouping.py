"""Lines of several system prompts, grouped and in the order of their file: `python -m benchmarks.grouping`.

The lines go in the batch lane of a platform, in turn as jobs of their own, which run in the order in which they were
asked, and as a batch. Times are PostgreSQL's, from the first line's beginning to the last one's end. Tokens are those
of prompts and answers together, whether they were evaluated or cached; `evaluated` are those of prompts that weren't.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import beside_batches, stacks, tables
from benchmarks.clients import Platform
from benchmarks.stacks import ROOT, Stack
from benchmarks.subjects import SUBJECTS, Subject
from benchmarks.tables import Table

_RULES = "You are the clerk of harbour {}. The table lists each tide, each depth and each ship that may leave. "
_WORDS_A_RULE = 22  # about as many tokens
_COLUMNS = ("round", "order", "tokens/s", "cached", "evaluated", "seconds")


@click.command(help=__doc__)
@click.option("--model", type=click.Choice(list(SUBJECTS)), default="demo", show_default=True)
@click.option("--lines", default=64, show_default=True)
@click.option("--groups", default=8, show_default=True)
@click.option("--tokens", default=600, show_default=True, help="Of a system prompt, about.")
@click.option(
    "--answer", default=16, show_default=True, help="The most tokens of an answer; lines take turns to a third."
)
@click.option("--workers", default=1, show_default=True)
@click.option("--slots", default=4, show_default=True, help="Of a worker.")
@click.option("--rounds", default=2, show_default=True)
@click.option("--only", default="", help="Only the order whose name has this word.")
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, help="A working copy of the version to run.")
def main(
    model: str,
    lines: int,
    groups: int,
    tokens: int,
    answer: int,
    workers: int,
    slots: int,
    rounds: int,
    only: str,
    root: Path,
) -> None:
    subject, rows, console = SUBJECTS[model], [], Console(width=120)
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder, ExitStack() as closing:
        served = beside_batches.catalog(subject, slots)
        stack = closing.enter_context(stacks.platform(Path(folder) / "stack", served, root=root))
        for number in range(1, workers):
            closing.enter_context(another_worker(stack, subject, slots, number, root))
        for number in range(rounds):
            for name, run in (("as in the file", as_jobs), ("grouped", as_batch)):
                if only not in name:
                    continue
                asked = [body(subject, f"{number} {name} {n % groups}", n, tokens, answer) for n in range(lines)]
                run(stack, Path(folder), subject, asked)
                rows.append((number + 1, name, *measured(stack, f"harbour {number} {name} ")))
                console.print(rows[-1])
    title = f"{lines} lines of {groups} system prompts in turn, {model}, {workers} x {slots} slots"
    tables.show(console, Table(title, _COLUMNS, rows))


def body(subject: Subject, name: str, number: int, tokens: int, answer: int) -> dict[str, Any]:
    """What a line asks. Answers are of different lengths, so that slots become free in no order."""
    system = _RULES.format(name) * (tokens // _WORDS_A_RULE)
    turns = [{"role": "system", "content": system}, {"role": "user", "content": f"How deep is it at {number} o'clock?"}]
    most = max(1, answer * (3 - number * 7919 % 11 % 3) // 3)
    return {"model": subject.name, "messages": turns, "max_tokens": most, "temperature": 0}


def as_jobs(stack: Stack, folder: Path, subject: Subject, asked: Sequence[dict[str, Any]]) -> None:
    del folder
    platform = Platform(stack, subject.name)

    async def run() -> None:
        made = [await platform.ask("POST", "/v1/jobs", job(line)) for line in asked]
        for each in made:
            while (await platform.ask("GET", f"/v1/jobs/{each['id']}?wait=60"))["finished_at"] is None:
                pass

    asyncio.run(run())


def job(line: dict[str, Any]) -> dict[str, Any]:
    params = {"max_tokens": line["max_tokens"], "temperature": line["temperature"]}
    given = {"input": {"messages": line["messages"]}, "params": params}
    return {"type": "chat", "model": line["model"], "lane": "batch", **given}


def as_batch(stack: Stack, folder: Path, subject: Subject, asked: Sequence[dict[str, Any]]) -> None:
    beside_batches.ended(stack, beside_batches.begun(stack, subject.name, folder, "24h", asked))


def measured(stack: Stack, named: str) -> tuple[float, float, int, float]:
    """Of the jobs whose system prompts have this name: tokens a second, the cached share of prompts, how many tokens
    were evaluated, and seconds."""
    read, said, cached, took_s = stack.query(_LINES, f"%{named}%")
    return (read + said) / float(took_s), cached / read, read - cached, float(took_s)


_LINES = """
SELECT sum(prompt_tokens), sum(completion_tokens), sum(coalesce(cached_tokens, 0)),
    extract(epoch FROM max(finished_at) - min(started_at))
FROM jobs WHERE input::text LIKE %s AND queue <> 'control'
"""


@contextmanager
def another_worker(stack: Stack, subject: Subject, slots: int, number: int, root: Path) -> Iterator[None]:
    """One more worker of the model beside the platform's own; it is left once it has beaten."""
    queues = f"{subject.name}.interactive,{subject.name}.batch"
    argv = [sys.executable, "-m", "workers.serve", "-Q", queues, "--concurrency", str(slots), "-n", f"more{number}@%h"]
    [own] = [name for name in stack.roles() if subject.name in name and not name.startswith("engine host")]
    environment = stack.roles()[own][0].environ()
    with subprocess.Popen(argv, cwd=root, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            while stack.query("SELECT count(*) FROM workers WHERE queue = %s", subject.name) < (number + 1,):
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
