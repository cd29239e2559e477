"""This version beside another, in turn: `python -m benchmarks.versions --before FOLDER [--rounds 5]`.

FOLDER is a working copy of the other version, such as `git worktree add` makes, which runs on this one's packages.
Both platforms run all the time, so that the machine's noise meets both; trust the ratios.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console

from benchmarks import finishing, stacks, tables
from benchmarks.clients import Platform
from benchmarks.finishing import Run
from benchmarks.stacks import Stack
from benchmarks.tables import Table, median, percentile

JOBS = 300
CONNECTIONS = 16
ALONE = 40
IDLE_S = 30
SLOTS = 8
SPEAKERS, TOKENS = 8, 200
ROLES = ("api", "worker-echo", "postgres", "redis", "control")
CATALOG = f"""
[echo]
engine = "echo"
context = 4096
slots = {SLOTS}
types = ["generate"]

[embedder]
engine = "llamacpp"
file = "{stacks.ROOT / "models" / "demo-embed-Q8_0.gguf"}"
context = 512
slots = 16
types = ["embed"]

[demo]
engine = "llamacpp"
file = "{stacks.ROOT / "models" / "demo-Q8_0.gguf"}"
context = 4096
slots = {SLOTS}
types = ["generate"]
"""


@click.command(help=__doc__)
@click.option("--before", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--only", metavar="WORD", default="", help="jobs, alone, tokens, embeds or idle: only that part.")
def main(before: Path, rounds: int, only: str) -> None:
    console = Console(width=max(160, Console().width))
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder, ExitStack() as running:
        sides = [
            running.enter_context(stacks.platform(Path(folder) / name, CATALOG, root=root.resolve()))
            for name, root in (("before", before), ("now", stacks.ROOT))
        ]
        for name, part in PARTS.items():
            if name.startswith(only):
                tables.show(console, part(sides, rounds))


def _jobs(sides: Sequence[Stack], rounds: int) -> Table:
    for stack in sides:
        finishing.through(stack, 100, CONNECTIONS)
    time.sleep(finishing.STATISTICS_S)
    counted = [finishing.counters(stack) for stack in sides]
    runs: list[list[Run]] = [[], []]
    for _ in range(rounds):
        for stack, own in zip(sides, runs, strict=True):
            own.append(finishing.through(stack, JOBS, CONNECTIONS))
    time.sleep(finishing.STATISTICS_S)
    rows = {}
    for number, own in enumerate(runs):
        commits, _, flushes = [
            (late - early) / (rounds * JOBS)
            for late, early in zip(finishing.counters(sides[number]), counted[number], strict=True)
        ]
        took = [1000 * seconds for run in own for seconds in run.took_s]
        cpu = {f"CPU ms a job: {role}": median([run.cpu[role] for run in own]) for role in ROLES}
        rows[number] = {
            "jobs/s": median([run.per_s for run in own]),
            "CPU ms a job, all": median([sum(run.cpu[role] for role in ROLES) for run in own]),
            **cpu,
            "submit to id under load, p50 ms": percentile(took, 50),
            "transactions a job": commits,
            "flushes a job": flushes,
        }
    return _beside(f"{rounds} rounds of {JOBS} durable one-token jobs at {CONNECTIONS} connections", rows)


def _alone(sides: Sequence[Stack], rounds: int) -> Table:
    platforms = [Platform(stack, "echo") for stack in sides]
    found: list[list[tuple[float, float, float]]] = [[], []]

    async def ask() -> None:
        for seed in range(rounds * ALONE // 5):
            for platform, own in zip(platforms, found, strict=True):
                answer = await platform.generate("hello", 8, seed)
                own.append((answer.accepted_s, answer.first_token_s, answer.ended_at - answer.began_at))
                await asyncio.sleep(0.05)

    asyncio.run(ask())
    names = ("submit to id, p50 ms", "submit to first token, p50 ms", "submit to end, p50 ms")
    rows = {
        number: {
            name: 1000 * percentile(list(values), 50)
            for name, values in zip(names, zip(*own, strict=True), strict=True)
        }
        for number, own in enumerate(found)
    }
    return _beside("one job at a time, echo", rows)


def _tokens(sides: Sequence[Stack], rounds: int) -> Table:
    """CPU beside the engine host, of what eight streams that are read take."""
    found: list[list[tuple[float, float]]] = [[], []]
    for seed in range(rounds):
        for stack, own in zip(sides, found, strict=True):
            own.append(_spoken(stack, seed))
    rows = {
        number: {
            "tokens/s": median([per_s for per_s, _ in own]),
            "µs of CPU a token beside the host": median([us for _, us in own]),
        }
        for number, own in enumerate(found)
    }
    return _beside(f"the demo model, {SPEAKERS} streams of {TOKENS} tokens", rows)


def _spoken(stack: Stack, seed: int) -> tuple[float, float]:
    platform, before, began_at = Platform(stack, "demo"), stacks.cpu_s(stack.roles()), time.perf_counter()

    async def speak() -> int:
        asked = [platform.generate(f"{n} Once upon a time", TOKENS, seed * SPEAKERS + n) for n in range(SPEAKERS)]
        return sum(answer.tokens for answer in await asyncio.gather(*asked))

    tokens = asyncio.run(speak())
    took_s = time.perf_counter() - began_at
    return tokens / took_s, 1e6 * _beside_the_host(stack, before) / tokens


def _embeds(sides: Sequence[Stack], rounds: int) -> Table:
    """Small jobs at sixteen connections, and one large job a round."""
    found: list[list[tuple[float, float, float]]] = [[], []]
    for _ in range(rounds):
        for stack, own in zip(sides, found, strict=True):
            own.append((*_small(stack, 100), _large(stack, 500)))
    names = ("small jobs/s", "CPU ms a small job beside the host", "CPU ms a text of a large job beside the host")
    rows = {
        number: {name: median(list(values)) for name, values in zip(names, zip(*own, strict=True), strict=True)}
        for number, own in enumerate(found)
    }
    return _beside("embedding", rows)


def _small(stack: Stack, jobs: int) -> tuple[float, float]:
    before, began_at = stacks.cpu_s(stack.roles()), time.perf_counter()
    asked = {"type": "embed", "model": "embedder", "input": {"texts": ["The fox lives in the wood."]}}
    asyncio.run(_through(stack, asked, jobs))
    took_s = time.perf_counter() - began_at
    return jobs / took_s, 1000 * _beside_the_host(stack, before) / jobs


def _large(stack: Stack, texts: int) -> float:
    before = stacks.cpu_s(stack.roles())
    many = {"texts": [f"The fox number {number} lives in the wood." for number in range(texts)]}
    asyncio.run(_through(stack, {"type": "embed", "model": "embedder", "input": many}, 1))
    return 1000 * _beside_the_host(stack, before) / texts


async def _through(stack: Stack, asked: dict[str, object], jobs: int) -> None:
    """Submits so many jobs, and waits until all have ended."""
    platform, turns = Platform(stack, "embedder"), iter(range(jobs))

    async def submit() -> list[str]:
        return [str((await platform.ask("POST", "/v1/jobs", asked))["id"]) for _ in turns]

    ids = [job_id for own in await asyncio.gather(*[submit() for _ in range(CONNECTIONS)]) for job_id in own]
    for job_id in ids:
        ended = await platform.ask("GET", f"/v1/jobs/{job_id}?wait=60")
        assert ended["status"] == "succeeded", ended


def _beside_the_host(stack: Stack, before: dict[str, float]) -> float:
    after = stacks.cpu_s(stack.roles())
    return sum(after[role] - before.get(role, 0.0) for role in after if not role.startswith("engine host"))


def _idle(sides: Sequence[Stack], rounds: int) -> Table:
    """Both idle beside each other, which each of them can bear."""
    del rounds
    time.sleep(5)
    before = [stacks.cpu_s(stack.roles()) for stack in sides]
    time.sleep(IDLE_S)
    rows = {}
    for number, stack in enumerate(sides):
        after = stacks.cpu_s(stack.roles())
        spent = {role: 100 * (after[role] - before[number].get(role, 0.0)) / IDLE_S for role in after}
        rows[number] = {"all": sum(spent.values()), **spent}
    return _beside("% of one core while nothing is asked, four workers", rows)


def _beside(question: str, rows: dict[int, dict[str, float]]) -> Table:
    then, now = rows[0], rows[1]
    cells = [(name, then.get(name), now[name], now[name] / then[name] if then.get(name) else None) for name in now]
    return Table(question, ("", "before", "now", "ratio"), cells)


PARTS: dict[str, Callable[[Sequence[Stack], int], Table]] = {
    "jobs": _jobs,
    "alone": _alone,
    "tokens": _tokens,
    "embeds": _embeds,
    "idle": _idle,
}


if __name__ == "__main__":
    main()
