"""What stands between a client and a model costs: `python -m benchmarks.gateway [--litellm VENV] [--rounds 3]`.

One-token chat calls at 1, 16 and 64 clients: through Forebay, each a durable job; through LiteLLM's proxy with its
default settings; and straight to the server that is behind LiteLLM, which is an engine host like Forebay's own. All
run all the time and are asked in turn; trust the ratios. VENV is an environment with `litellm[proxy]` in it; without
one that row is left out.
"""

import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
from rich.console import Console

from benchmarks import hosts, stacks, tables
from benchmarks.tables import Table, percentile

SLOTS = 8
CLIENTS = (1, 16, 64)
CALLS = {1: 100, 16: 400, 64: 400}
FILE = stacks.ROOT / "models" / "demo-Q8_0.gguf"
CATALOG = f"""
[demo-chat]
engine = "llamacpp"
file = "{FILE}"
context = 512
slots = {SLOTS}
types = ["generate", "chat"]
"""
_READY_S = 120.0


@dataclass(frozen=True, slots=True)
class Way:
    """How to ask, and whose CPU the calls cost."""

    name: str
    address: tuple[str, int]
    key: str
    model: str
    processes: list[psutil.Process]


@dataclass(frozen=True, slots=True)
class Run:
    """Calls a second, their seconds, and the CPU milliseconds of a call: of the gateway, and of the clients."""

    rate: float
    took: list[float]
    cpu_ms: float
    own_ms: float


@click.command(help=__doc__)
@click.option("--litellm", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--rounds", default=3, show_default=True)
def main(litellm: Path | None, rounds: int) -> None:
    console = Console(width=max(140, Console().width))
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder, ExitStack() as running:
        host = running.enter_context(hosts.host(FILE, slots=SLOTS, context=512))
        bare = Way("bare server", host.client.address, host.client.key, "demo", [host.process])
        ways = [bare, running.enter_context(_forebay(Path(folder)))]
        if litellm:
            ways.append(running.enter_context(_litellm(litellm, Path(folder), bare)))
        for clients in CLIENTS:
            runs: dict[str, list[Run]] = {way.name: [] for way in ways}
            for number in range(rounds + 1):  # the first warms up
                for way in ways:
                    run = _run(way, CALLS[clients], clients)
                    runs[way.name] += [run] if number else []
            tables.show(console, _table(clients, runs))


def _run(way: Way, calls: int, clients: int) -> Run:
    command = [sys.executable, "-m", "benchmarks.callers", way.address[0], str(way.address[1])]
    command += ["/v1/chat/completions", way.key, way.model, str(calls), str(clients)]
    before = sum(map(_cpu_s, way.processes))
    told = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=stacks.ROOT).stdout)
    cpu_ms = 1000 * (sum(map(_cpu_s, way.processes)) - before) / calls
    return Run(calls / told["seconds"], told["took"], cpu_ms, 1000 * told["cpu_s"] / calls)


def _table(clients: int, runs: dict[str, list[Run]]) -> Table:
    bare = _median([run.rate for run in runs["bare server"]])
    rows = []
    for name, own in runs.items():
        took = [1000 * seconds for run in own for seconds in run.took]
        rate = _median([run.rate for run in own])
        cpu_ms, own_ms = _median([run.cpu_ms for run in own]), _median([run.own_ms for run in own])
        rows.append((name, rate, rate / bare, percentile(took, 50), percentile(took, 99), cpu_ms, own_ms))
    columns = ("", "calls/s", "of the bare", "p50 ms", "p99 ms", "CPU ms a call", "the clients' own")
    return Table(f"{clients} clients", columns, rows)


def _median(values: list[float]) -> float:
    return statistics.median(values)


@contextmanager
def _forebay(folder: Path) -> Iterator[Way]:
    with stacks.platform(folder / "forebay", CATALOG) as stack:
        processes = [process for role in stack.roles().values() for process in role]
        yield Way("Forebay", stack.address, stack.key, "demo-chat", processes)


@contextmanager
def _litellm(venv: Path, folder: Path, behind: Way) -> Iterator[Way]:
    """LiteLLM's proxy before the server that is asked straight as well."""
    base = f"http://{behind.address[0]}:{behind.address[1]}/v1"
    told = {"model": "openai/demo", "api_base": base, "api_key": behind.key}
    (folder / "litellm.yaml").write_text(json.dumps({"model_list": [{"model_name": "demo", "litellm_params": told}]}))
    port = stacks.free_port()
    command = [str(venv / "bin" / "litellm"), "--config", str(folder / "litellm.yaml"), "--port", str(port)]
    key = f"sk-{secrets.token_hex(32)}"
    env = {**os.environ, "LITELLM_MASTER_KEY": key}
    with (
        open(folder / "litellm.log", "wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=env) as process,
    ):
        try:
            _await_health(f"http://127.0.0.1:{port}/health/liveliness")
            leader = psutil.Process(process.pid)
            yield Way("LiteLLM", ("127.0.0.1", port), key, "demo", [leader, *leader.children(recursive=True)])
        finally:
            process.terminate()


def _await_health(url: str) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
        else:
            return
    raise RuntimeError("LiteLLM doesn't answer")


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
