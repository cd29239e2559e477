"""Measures a `forebay up` beside what it stands on, in one run: `python -m benchmarks.jobs [--quick] [--model gemma]`.

Both sides of a question are asked in turn on the same machine, so that its noise meets both; trust the ratios.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import psutil
from rich.console import Console

from benchmarks import (
    cancelling,
    finishing,
    freeing,
    hosts,
    idle,
    latency,
    memory,
    random_gguf,
    stacks,
    tables,
    throughput,
)
from benchmarks.clients import Platform
from benchmarks.subjects import SUBJECTS, Subject
from benchmarks.tables import Table
from benchmarks.throughput import Load

SLOTS = 8
TOKENS = 200
ECHO_SLOTS = 8
IDLE_S = 60.0
LARGE_CONTEXT = 1024
CATALOG = """
[{name}]
engine = "{engine}"
{file}
context = {context}
slots = {slots}
types = ["generate"]
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    latency_jobs: int
    echo_jobs: int
    jobs: int
    large_rounds: int
    large_streams: tuple[int, ...]
    large_tokens: int


FULL = Size(5, 40, 1500, 6, 3, (1, 4, 8), 40)
QUICK = Size(2, 20, 500, 3, 1, (8,), 24)


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="About a minute, and rougher.")
@click.option("--model", type=click.Choice(list(SUBJECTS)), default="demo", show_default=True, help="The real one.")
@click.option("--only", metavar="WORD", default="", help="memory, idle, model, echo or large: only that part.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the tables here too.")
def main(quick: bool, model: str, only: str, file: Path | None) -> None:
    console = Console(width=max(160, Console().width))
    size = QUICK if quick else FULL
    console.print(f"{os.cpu_count()} cores; load before: {_load()}")
    found: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        for name, part in PARTS.items():
            if name.startswith(only):
                for table in part(Path(folder), size, SUBJECTS[model]):
                    tables.show(console, table)
                    found.append(table)
                console.print(f"load after {name}: {_load()}\n")
    if file:
        file.write_text(json.dumps([asdict(table) for table in found], indent=1))


def _memory(folder: Path, _: Size, subject: Subject) -> Iterator[Table]:
    with stacks.platform(folder / "memory", subject.shipped(), "--flower-port", str(stacks.free_port())) as stack:
        time.sleep(5)
        yield memory.measure(stack)


def _idle_platform(folder: Path, _: Size, subject: Subject) -> Iterator[Table]:
    with stacks.platform(folder / "idle", subject.shipped()) as stack:
        yield idle.measure(stack, IDLE_S)


def _model(folder: Path, size: Size, subject: Subject) -> Iterator[Table]:
    with _both(folder, subject.name, subject.file, subject.context) as (platform, host):
        yield _idle(host)
        yield latency.measure(platform, host.client, rounds=size.rounds, jobs=subject.part(size.latency_jobs))
        loads = [Load(streams, subject.part(size.jobs), subject.part(TOKENS)) for streams in (1, 4, 8)]
        title = f"{subject.name}, {subject.file.stat().st_size / 1e6:.0f} MB"
        yield throughput.measure(title, platform, host, loads, rounds=size.rounds)
        yield throughput.unread(platform, loads[-1], rounds=size.rounds)


def _echo(folder: Path, size: Size, _: Subject) -> Iterator[Table]:
    with stacks.platform(folder / "echo", catalog("echo", None, 4096, ECHO_SLOTS)) as stack:
        yield finishing.measure(stack, rounds=size.rounds, jobs=size.echo_jobs, connections=16, slots=ECHO_SLOTS)


def _large(folder: Path, size: Size, _: Subject) -> Iterator[Table]:
    file = random_gguf.write(folder / "large.gguf", random_gguf.SHAPES["tinyllama"])
    with _both(folder, "large", file, LARGE_CONTEXT) as (platform, host):
        loads = [Load(streams, 1, size.large_tokens) for streams in size.large_streams]
        title = f"TinyLlama's shape, {file.stat().st_size / 1e6:.0f} MB"
        yield throughput.measure(title, platform, host, loads, rounds=size.large_rounds)
        yield cancelling.measure(platform, neighbours=SLOTS - 1)
    yield freeing.measure(file, slots=SLOTS, context=LARGE_CONTEXT, threads=os.cpu_count() or 1)


PARTS: dict[str, Callable[[Path, Size, Subject], Iterator[Table]]] = {
    "memory": _memory,
    "idle": _idle_platform,
    "model": _model,
    "echo": _echo,
    "large": _large,
}


@contextmanager
def _both(folder: Path, name: str, file: Path, context: int) -> Iterator[tuple[Platform, hosts.Host]]:
    """The platform with one model, and an engine host of the same settings; one idles while the other runs."""
    with (
        stacks.platform(folder / name, catalog(name, file, context, SLOTS)) as stack,
        hosts.host(file, slots=SLOTS, context=context) as host,
    ):
        yield Platform(stack, name), host


def catalog(name: str, file: Path | None, context: int, slots: int) -> str:
    """A catalogue of one model."""
    engine, line = ("llamacpp", f'file = "{file}"') if file else ("echo", "")
    return CATALOG.format(name=name, engine=engine, file=line, context=context, slots=slots)


def _idle(host: hosts.Host) -> Table:
    """That the side which waits its turn leaves the cores to the other."""
    before = host.process.cpu_times()
    time.sleep(2)
    after = host.process.cpu_times()
    spent = (after.user + after.system - before.user - before.system) / 2
    return Table("Does an idle engine host leave the cores alone?", ("CPU of one core, %",), [(100 * spent,)])


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f} over the last minute, CPU {psutil.cpu_percent(0.5):.0f} %"


if __name__ == "__main__":
    main()
