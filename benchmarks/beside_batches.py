"""Chats in bursts and lulls beside three batches: `python -m benchmarks.beside_batches [--model gemma] [--lines 150]`.

Five shapes, one after the other, each with the same chats at the same moments: no batch; the lines sent as ordinary
calls; as batches; as batches whose worker is killed every 30 s; and sent by a script straight to the engine host, as it
would be to a bare llama-server. The batches are begun in the order 24h, 2h, 30m. With `--lines` each has so many.

A shape takes as long as its chats, which is a minute, and what its lines take beyond that. So on the demo model all
five, with 150 lines a batch, should take six to seven minutes on a quiet machine of two cores; 1,000 lines want
`--cycles 4`, and a quarter of an hour or more.
"""

import asyncio
import json
import os
import random
import re
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import openai
import psycopg
from rich.console import Console

from benchmarks import hosts, stacks, tables, wire
from benchmarks.stacks import ROOT, Stack
from benchmarks.subjects import SUBJECTS, Subject
from benchmarks.tables import Table

WINDOWS = ("24h", "2h", "30m")
SLOTS = 4
KILL_S = 30.0
CALLS = 32  # that are under way at a time, where lines are sent as ordinary ones
LINE_TOKENS, CHAT_TOKENS = 24, 32
_WORD = re.compile(rb'"content": ?"[^"]')
_RULES = (
    "You are the clerk of harbour {}. The table lists each tide, each depth and each ship. Answer in one sentence. "
)
_TASK = "Line {}: how deep is it at {} o'clock, and which ship may leave before the tide turns?"
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Chats:
    """When chats are asked, and the bursts they come in, in seconds from the beginning."""

    at: tuple[float, ...]
    bursts: tuple[Span, ...]
    lulls: tuple[Span, ...]

    @classmethod
    def drawn(cls, *, cycles: int, burst_s: float, lull_s: float, rate: float, seed: int) -> "Chats":
        chance, at = random.Random(seed), list[float]()
        bursts = [(n * (burst_s + lull_s), n * (burst_s + lull_s) + burst_s) for n in range(cycles)]
        for begin, end in bursts:
            moment = begin + chance.expovariate(rate)
            while moment < end:
                at.append(moment)
                moment += chance.expovariate(rate)
        return cls(tuple(at), tuple(bursts), tuple((end, end + lull_s) for _, end in bursts))


@dataclass(slots=True)
class Seen:
    """What was seen of one shape. Moments are Unix times; `busy` is when a slot was taken, by whatever."""

    began_at: float = field(default_factory=time.time)
    first_s: list[float] = field(default_factory=list)
    lines: list[tuple[str, float, float]] = field(default_factory=list)  # window, begun, ended
    busy: list[Span] = field(default_factory=list)
    cached: int = 0
    prompt: int = 0

    def row(self, shape: str, chats: Chats) -> tuple[Any, ...]:
        first = [1000 * tables.percentile(self.first_s, percent) for percent in (50, 99)]
        if not self.lines:
            return (shape, *first, None, None, None, "")
        last = {window: max(end for name, _, end in self.lines if name == window) for window in WINDOWS}
        order = sorted(last, key=last.__getitem__)
        told = ", ".join(f"{window} {last[window] - self.began_at:.0f} s" for window in order)
        share = self.cached / self.prompt if self.prompt else None
        return (shape, *first, self._lull_rate(chats), self._idle(), share, told)

    def _waiting(self) -> Span:
        """From the first line's beginning until the last one's: as long, lines waited."""
        begun = [begin for _, begin, _ in self.lines]
        return min(begun), max(begun)

    def _lull_rate(self, chats: Chats) -> float | None:
        first, last = self._waiting()
        lulls = [(max(first, self.began_at + begin), min(last, self.began_at + end)) for begin, end in chats.lulls]
        seconds = sum(max(0.0, end - begin) for begin, end in lulls)
        ended = sum(begin <= at < end for begin, end in lulls for _, _, at in self.lines)
        return ended / seconds if seconds else None

    def _idle(self) -> float:
        """The share of the slots' time that nothing ran in them while lines waited."""
        first, last = self._waiting()
        changes = sorted(
            change
            for begin, end in self.busy
            if begin < last and end > first
            for change in ((max(begin, first), 1), (min(end, last), -1))
        )
        taken = idle_s = 0.0
        before = first
        for at, change in changes:
            idle_s += max(0.0, SLOTS - taken) * (at - before)
            taken, before = taken + change, at
        return (idle_s + max(0.0, SLOTS - taken) * (last - before)) / (SLOTS * (last - first))


@click.command(help=__doc__)
@click.option("--model", type=click.Choice(list(SUBJECTS)), default="demo", show_default=True)
@click.option("--lines", default=150, show_default=True)
@click.option("--rate", default=4.0, show_default=True, help="Chats a second in a burst.")
@click.option("--cycles", default=2, show_default=True)
@click.option("--burst", default=15.0, show_default=True, help="Seconds.")
@click.option("--lull", default=15.0, show_default=True, help="Seconds.")
@click.option("--groups", default=5, show_default=True, help="Beginnings that the lines of a file share, in turn.")
@click.option("--rules", default=3, show_default=True, help="How often a beginning says its sentence again.")
@click.option("--only", default="", help="Only the shapes whose names have this word.")
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, help="A working copy of the version to run.")
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the table here too.")
def main(
    model: str, lines: int, rate: float, cycles: int, burst: float, lull: float, groups: int, rules: int,
    only: str, root: Path, seed: int, file: Path | None,
) -> None:  # fmt: skip
    console, subject = Console(width=max(160, Console().width)), SUBJECTS[model]
    chats = Chats.drawn(cycles=cycles, burst_s=burst, lull_s=lull, rate=rate, seed=seed)
    files = {window: [body(n, groups, rules, window) for n in range(lines)] for window in WINDOWS}
    rows = []
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        for number, (shape, run) in enumerate(SHAPES.items()):
            if only in shape:
                seen = run(Path(folder) / str(number), subject, root, chats, files)
                rows.append(seen.row(shape, chats))
                console.print(f"{rows[-1]}  load {os.getloadavg()[0]:.1f}")
    columns = ("", "chats p50, ms", "p99, ms", "lines/s in lulls", "idle", "cached", "batches end")
    title = f"{len(chats.at)} chats in {cycles} bursts of {burst:g} s beside 3 x {lines} lines, {subject.name}"
    table = Table(title, columns, rows, "idle: share of the slots' time in which nothing ran while lines waited")
    tables.show(console, table)
    if file:
        file.write_text(json.dumps({"title": title, "columns": columns, "rows": rows}, indent=1))


def body(number: int, groups: int, rules: int, window: str) -> dict[str, Any]:
    """What a line asks: lines of a file take turns at its system prompts, and no two are equal."""
    system = _RULES.format(f"{window} {number % groups}") * rules
    turns = [{"role": "system", "content": system}, {"role": "user", "content": _TASK.format(number, number % 24)}]
    return {"messages": turns, "max_completion_tokens": LINE_TOKENS, "temperature": 0}


def catalog(subject: Subject, slots: int = SLOTS) -> str:
    """The subject's own table of its catalogue, with so many slots."""
    found = re.search(rf"^\[{subject.name}\].*?(?=^\[|\Z)", subject.shipped(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return re.sub(r"^slots = .*$", f"slots = {slots}", found[0], flags=re.MULTILINE)


async def asked(chats: Chats, ask: Callable[[str], Awaitable[float]], seen: Seen) -> None:
    """Asks each chat at its moment, whatever became of those before it."""

    async def one(number: int, at: float) -> None:
        await asyncio.sleep(max(0.0, seen.began_at + at - time.time()))
        seen.first_s.append(await ask(f"{number * 7919 % 1000}: tell me of the ship that left at dawn."))

    await asyncio.gather(*(one(number, at) for number, at in enumerate(chats.at)))


def first_s(reading: wire.Reading) -> float:
    """Seconds until the first word. Raises `RuntimeError` where there is none."""
    found = _WORD.search(reading.whole)
    if found is None:
        raise RuntimeError(reading.whole[:300])
    return reading.when(found[0]) - reading.asked_at


@dataclass(frozen=True, slots=True)
class Served:
    """The platform's OpenAI routes."""

    stack: Stack
    model: str

    async def chat(self, words: str) -> float:
        asked = {"model": self.model, "messages": [{"role": "user", "content": words}], "stream": True}
        return first_s(await self._read(asked | {"max_completion_tokens": CHAT_TOKENS}))

    async def line(self, asked: dict[str, Any]) -> None:
        first_s(await self._read(asked | {"model": self.model}))

    async def _read(self, asked: dict[str, Any]) -> wire.Reading:
        sent = wire.request("POST", "/v1/chat/completions", self.stack.key, asked, last=True)
        return await wire.read_all(self.stack.address, sent)


def batched(
    folder: Path, subject: Subject, root: Path, chats: Chats, files: dict[str, list[Any]], *, kill: bool = False
) -> Seen:
    with stacks.platform(folder, catalog(subject), root=root) as stack:
        asyncio.run(Served(stack, subject.name).chat("Hello."))
        with killing(stack, subject.name) if kill else nullcontext():
            batches = {window: begun(stack, subject.name, folder, window, files[window]) for window in files}
            seen = Seen()
            asyncio.run(asked(chats, Served(stack, subject.name).chat, seen))
            for batch_id in batches.values():
                ended(stack, batch_id)
        look(stack, subject.name, seen)
        return seen


def begun(stack: Stack, model: str, folder: Path, window: str, lines: Sequence[dict[str, Any]]) -> str:
    """The id of a batch of these lines, by OpenAI's own client."""
    file = folder / f"{window}.jsonl"
    with file.open("w") as written:
        for number, line in enumerate(lines):
            frame = {"custom_id": f"{window}-{number}", "method": "POST", "url": "/v1/chat/completions"}
            written.write(json.dumps({**frame, "body": line | {"model": model}}) + "\n")
    with client(stack) as api, file.open("rb") as given:
        kept = api.files.create(file=given, purpose="batch")
        how: Any = {"endpoint": "/v1/chat/completions", "completion_window": window}
        return api.batches.create(input_file_id=kept.id, metadata={"window": window}, **how).id


def ended(stack: Stack, batch_id: str) -> None:
    """Waits for the batch's end. Raises `RuntimeError` where a line of it failed."""
    with client(stack) as api:
        while (found := api.batches.retrieve(batch_id)).status not in ("completed", "failed", "expired", "cancelled"):
            time.sleep(0.5)
        if found.status != "completed" or found.request_counts is None or found.request_counts.failed:
            raise RuntimeError(found.to_json())


def client(stack: Stack) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://{stack.address[0]}:{stack.address[1]}/v1", api_key=stack.key)


def look(stack: Stack, model: str, seen: Seen) -> None:
    """Adds when lines ran and when slots were taken, as PostgreSQL has it: not while they waited in a queue."""
    with psycopg.connect(stack.environment("FOREBAY_DATABASE_URL")) as connection:
        for window, begin, end, cached, prompt in connection.execute(_LINES):
            seen.lines.append((window, float(begin), float(end)))
            seen.cached, seen.prompt = seen.cached + (cached or 0), seen.prompt + (prompt or 0)
        attempts = connection.execute(_ATTEMPTS, [model])
        seen.busy = [(float(begin), float(end)) for begin, end in attempts]


_LINES = """
SELECT substring(input::text FROM 'harbour ([0-9a-z]+) '), extract(epoch FROM started_at),
    extract(epoch FROM finished_at), cached_tokens, prompt_tokens
FROM jobs WHERE input::text LIKE '%clerk of harbour%' AND started_at IS NOT NULL AND finished_at IS NOT NULL
"""
_ATTEMPTS = """
SELECT extract(epoch FROM started_at), extract(epoch FROM ended_at) FROM job_attempts
WHERE model = %s AND ended_at IS NOT NULL
"""


def alone(folder: Path, subject: Subject, root: Path, chats: Chats, files: dict[str, list[Any]]) -> Seen:
    del files
    return batched(folder, subject, root, chats, {})


def killed(folder: Path, subject: Subject, root: Path, chats: Chats, files: dict[str, list[Any]]) -> Seen:
    return batched(folder, subject, root, chats, files, kill=True)


@contextmanager
def killing(stack: Stack, model: str) -> Iterator[None]:
    """Kills the model's worker every so often."""
    gone = threading.Event()

    def kill() -> None:
        while not gone.wait(KILL_S):
            for name, found in stack.roles().items():
                if model in name and not name.startswith("engine host"):
                    found[0].kill()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        gone.set()
        thread.join()


def called(folder: Path, subject: Subject, root: Path, chats: Chats, files: dict[str, list[Any]]) -> Seen:
    with stacks.platform(folder, catalog(subject), root=root) as stack:
        served = Served(stack, subject.name)
        asyncio.run(served.chat("Hello."))
        seen = Seen()
        asyncio.run(beside(seen, chats, served.chat, served.line, files, CALLS))
        look(stack, subject.name, seen)
        return seen


def bare(folder: Path, subject: Subject, root: Path, chats: Chats, files: dict[str, list[Any]]) -> Seen:
    """As many lines under way as there are slots: a script of somebody who knows the server."""
    del folder, root
    with hosts.host(subject.file, slots=SLOTS, context=subject.context) as host:
        to = host.client

        async def ask(prompt: str, tokens: int, **how: Any) -> float:
            asked = {"prompt": prompt, "n_predict": tokens, "stream": True, "cache_prompt": True, **how}
            return first_s(
                await wire.read_all(to.address, wire.request("POST", "/completion", to.key, asked, last=True))
            )

        async def chat(words: str) -> float:
            return await ask(subject.turn.format(words), CHAT_TOKENS, temperature=0.8)

        async def line(asked: dict[str, Any]) -> None:
            told = "\n\n".join(turn["content"] for turn in asked["messages"])
            await ask(subject.turn.format(told), LINE_TOKENS, temperature=0)

        asyncio.run(chat("Hello."))
        seen = Seen()
        seen.lines = asyncio.run(beside(seen, chats, chat, line, files, SLOTS))
        seen.busy = [(begin, end) for _, begin, end in seen.lines]
        return seen


async def beside(
    seen: Seen,
    chats: Chats,
    chat: Callable[[str], Awaitable[float]],
    line: Callable[[dict[str, Any]], Awaitable[None]],
    files: dict[str, list[Any]],
    at_once: int,
) -> list[tuple[str, float, float]]:
    """The chats, and beside them the lines of all files, one file after the other: when each was sent and answered."""
    told, waiting = list[tuple[str, float, float]](), iter([(name, each) for name in files for each in files[name]])

    async def send() -> None:
        for window, each in waiting:
            begin = time.time()
            await line(each)
            told.append((window, begin, time.time()))

    await asyncio.gather(asked(chats, chat, seen), *(send() for _ in range(at_once)))
    return told


SHAPES: dict[str, Callable[[Path, Subject, Path, Chats, dict[str, list[Any]]], Seen]] = {
    "no batch": alone,
    "ordinary calls": called,
    "batches": batched,
    "batches, worker killed": killed,
    "script to the engine host": bare,
}


if __name__ == "__main__":
    main()
