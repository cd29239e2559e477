"""What a batch costs beside plain jobs: `python -m benchmarks.batches [--lines 2000] [--litellm VENV]`.

On a model that echoes at once, so that what is measured is ours: plain jobs of the batch lane, then as many lines of a
batch, then a batch that is cancelled at half. How long it took until the first line ran, lines a second, the memory of
API and control worker meanwhile, and whether both files have every line once. `--looks` clients ask for the batch all
the time, whose answers are timed.

With VENV, an environment with `litellm` in it (1.110.2 was tried), the same lines of one token on the demo model
too: as a batch whose worker is killed at half, and through LiteLLM's own runner, `batch_completion`, in a process that
is killed at half and started again. It keeps nothing of what was answered by then.
"""

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx
import psutil
from rich.console import Console

from benchmarks import hosts, stacks, tables
from benchmarks.stacks import Stack
from benchmarks.tables import Table, percentile

SLOTS = 8
DEMO = stacks.ROOT / "models" / "demo-Q8_0.gguf"
CATALOG = f"""
[echo]
engine = "echo"
context = 4096
slots = {SLOTS}
types = ["generate", "chat"]

[demo]
engine = "llamacpp"
file = "{DEMO}"
context = 512
slots = {SLOTS}
types = ["generate", "chat"]
"""
OVER = ("completed", "failed", "expired", "cancelled")
_SENDERS = 16
_LOOK_S = 0.2


@click.command(help=__doc__)
@click.option("--lines", default=2000, show_default=True)
@click.option("--looks", default=4, show_default=True, help="Clients that ask for the batch all the time.")
@click.option("--litellm", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(lines: int, looks: int, litellm: Path | None) -> None:
    console = Console(width=max(140, Console().width))
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        folder = Path(name)
        with stacks.platform(folder / "platform", CATALOG) as stack:
            for table in measured(stack, lines, looks):
                tables.show(console, table)
            if litellm:
                tables.show(console, beside_litellm(stack, litellm, folder, lines))


def measured(stack: Stack, lines: int, looks: int) -> Iterator[Table]:
    client = Batches(stack)
    client.ended(client.begun(_lines(50)))  # warms up
    rows = [_plain(client, lines)]
    with Memory(stack) as memory, Looks(client, looks) as looking:
        batch = client.begun(_lines(lines))
        looking.at = batch["id"]
        rows.append(_batch(client, client.ended(batch), lines))
    columns = ("", "jobs", "until the first runs, s", "a second", "until the files, s", "right")
    yield Table("A batch beside plain jobs of its lane", columns, rows)
    yield memory.table()
    yield looking.table()
    yield Table(
        "A batch cancelled at half",
        ("lines", "answered", "until `cancelled`, s", "right"),
        [_cancelled(client, lines)],
    )


@dataclass(frozen=True, slots=True)
class Batches:
    """A client of one platform."""

    stack: Stack
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        host, port = self.stack.address
        headers = {"Authorization": f"Bearer {self.stack.key}"}
        http = httpx.Client(base_url=f"http://{host}:{port}", headers=headers, timeout=600)
        object.__setattr__(self, "http", http)

    def begun(self, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
        raw = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        form = {"data": {"purpose": "batch"}, "files": {"file": ("lines.jsonl", raw)}}
        file = self.http.post("/v1/files", **form).raise_for_status().json()  # type: ignore[arg-type]
        asked = {"input_file_id": file["id"], "endpoint": lines[0]["url"], "completion_window": "24h"}
        return dict(self.http.post("/v1/batches", json=asked).raise_for_status().json())

    def look(self, batch_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/v1/batches/{batch_id}").raise_for_status().json())

    def until(self, batch_id: str, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while not met(found := self.look(batch_id)):
            time.sleep(_LOOK_S)
        return found

    def ended(self, batch: dict[str, Any]) -> dict[str, Any]:
        return self.until(batch["id"], lambda found: found["status"] in OVER)

    def names(self, file_id: str | None) -> list[str]:
        """What the lines of a file are called; none where there is no file."""
        if file_id is None:
            return []
        with self.http.stream("GET", f"/v1/files/{file_id}/content") as answer:
            return [json.loads(line)["custom_id"] for line in answer.iter_lines()]

    def is_right(self, batch: dict[str, Any], lines: int) -> bool:
        """Whether each line is in one of its files, once."""
        output, refused = self.names(batch["output_file_id"]), self.names(batch["error_file_id"])
        counts = batch["request_counts"]
        return sorted(output + refused) == sorted(str(n) for n in range(lines)) and (
            (counts["completed"], counts["failed"]) == (len(output), len(refused))
        )


def _lines(number: int, model: str = "echo", **body: Any) -> list[dict[str, Any]]:
    def whole(n: int) -> dict[str, Any]:
        return {"model": model, "messages": [{"role": "user", "content": f"Say {n} again."}], **body}

    url = "/v1/chat/completions"
    return [{"custom_id": str(n), "method": "POST", "url": url, "body": whole(n)} for n in range(number)]


_TIMES = """SELECT extract(epoch FROM min(started_at) - %s)::float8,
    extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM jobs WHERE {} AND created_at >= %s"""


def _plain(client: Batches, number: int) -> tuple[Any, ...]:
    """As many jobs, sent one by one."""
    began_at = client.stack.query("SELECT clock_timestamp()")[0]
    headers = {"Prefer": "respond-async", "X-Forebay-Lane": "batch"}

    def send(line: dict[str, Any]) -> None:
        client.http.post(line["url"], json=line["body"], headers=headers).raise_for_status()

    started = time.monotonic()
    with ThreadPoolExecutor(_SENDERS) as senders:
        list(senders.map(send, _lines(number)))
    left = "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND created_at >= %s"
    while client.stack.query(left, began_at)[0]:
        time.sleep(_LOOK_S)
    took_s = time.monotonic() - started
    first_s, ran_s = client.stack.query(_TIMES.format("parent_id IS NULL"), began_at, began_at)
    return "plain jobs", number, first_s, number / ran_s, took_s, True


def _batch(client: Batches, batch: dict[str, Any], number: int) -> tuple[Any, ...]:
    job_id = batch["id"].removeprefix("batch_")
    asked_at = client.stack.query("SELECT created_at FROM jobs WHERE id = %s", job_id)[0]
    mine = f"parent_id = '{job_id}'"  # an id of the platform's own
    first_s, ran_s = client.stack.query(_TIMES.format(mine), asked_at, asked_at)
    over_at = client.stack.query("SELECT ended_at FROM batches WHERE job_id = %s", job_id)[0]
    took_s = (over_at - asked_at).total_seconds()
    return "a batch", number, first_s, number / ran_s, took_s, client.is_right(batch, number)


def _cancelled(client: Batches, number: int) -> tuple[Any, ...]:
    batch = client.begun(_lines(number))
    client.until(batch["id"], lambda found: found["request_counts"]["completed"] >= number / 2)
    asked_at = time.monotonic()
    client.http.post(f"/v1/batches/{batch['id']}/cancel").raise_for_status()
    found = client.ended(batch)
    took_s = time.monotonic() - asked_at
    return number, found["request_counts"]["completed"], took_s, client.is_right(found, number)


class Memory:
    """How much the API and the control worker hold while the block runs, once a second."""

    def __init__(self, stack: Stack) -> None:
        roles = stack.roles()
        self._processes = {name: roles[name] for name in ("api", "control")}
        self._held: dict[str, list[float]] = {name: [] for name in self._processes}
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        self._thread.join()

    def table(self) -> Table:
        rows = [(name, held[0], held[len(held) // 2], held[-1], max(held)) for name, held in self._held.items()]
        columns = ("MB, all its processes", "at first", "in the middle", "at last", "at most")
        return Table("Memory meanwhile", columns, rows)

    def _look(self) -> None:
        while True:
            for name, processes in self._processes.items():
                self._held[name].append(sum(map(_held_mb, processes)))
            if self._gone.wait(1.0):
                return


def _held_mb(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().uss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


class Looks:
    """Clients that ask for a batch, once it is known, as long as the block runs."""

    def __init__(self, client: Batches, number: int) -> None:
        self.at: str | None = None
        self._client, self._took_ms, self._gone = client, list[float](), threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(number)]

    def __enter__(self) -> "Looks":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        for thread in self._threads:
            thread.join()

    def table(self) -> Table:
        took = self._took_ms or [0.0]
        row = (len(self._threads), len(self._took_ms), percentile(took, 50), percentile(took, 99))
        return Table("Looking at it meanwhile", ("clients", "looks", "p50 ms", "p99 ms"), [row])

    def _ask(self) -> None:
        while not self._gone.wait(0.1):
            if self.at is not None:
                began_at = time.monotonic()
                self._client.look(self.at)
                self._took_ms.append(1000 * (time.monotonic() - began_at))


# It says a word with each answer, and at last how many it returned.
_RUNNER = """
import json, sys, litellm

litellm.suppress_debug_info = True
asked = litellm.completion
def told(*args, **kwargs):
    answer = asked(*args, **kwargs)
    sys.stdout.write("answer\\n")
    sys.stdout.flush()
    return answer
litellm.completion = told
lines = [json.loads(line) for line in open(sys.argv[1])]
answers = litellm.batch_completion(
    model="openai/demo", api_base=sys.argv[2], api_key=sys.argv[3], max_tokens=1, max_workers=int(sys.argv[4]),
    temperature=0, messages=[line["body"]["messages"] for line in lines],
)
print("kept", sum(not isinstance(answer, Exception) for answer in answers), flush=True)
"""


def beside_litellm(stack: Stack, venv: Path, folder: Path, number: int) -> Table:
    """One token a line on the demo model: each runner is killed once, when half of its lines are answered."""
    lines = _lines(number, "demo", max_tokens=1, temperature=0)
    rows = [_ours_killed(Batches(stack), lines), _litellm_killed(venv, folder, lines)]
    return Table("One restart at half, one token a line", ("", "lines", "runs of lines", "s", "answers kept"), rows)


def _ours_killed(client: Batches, lines: list[dict[str, Any]]) -> tuple[Any, ...]:
    began_at = time.monotonic()
    batch = client.begun(lines)
    client.until(batch["id"], lambda found: found["request_counts"]["completed"] >= len(lines) / 2)
    for name, processes in client.stack.roles().items():
        if name == "control" or name.startswith("worker-demo"):
            processes[0].kill()
    found = client.ended(batch)
    took_s = time.monotonic() - began_at
    ran = client.stack.query(
        "SELECT count(*) FROM job_attempts a JOIN jobs j ON j.id = a.job_id WHERE j.parent_id = %s",
        batch["id"].removeprefix("batch_"),
    )[0]
    return "Forebay", len(lines), ran, took_s, found["request_counts"]["completed"]


def _litellm_killed(venv: Path, folder: Path, lines: list[dict[str, Any]]) -> tuple[Any, ...]:
    file = folder / "lines.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with hosts.host(DEMO, slots=SLOTS, context=512) as host:
        base = f"http://{host.client.address[0]}:{host.client.address[1]}/v1"
        argv = [str(venv / "bin" / "python"), "-c", _RUNNER, str(file), base, host.client.key, str(SLOTS)]
        began_at = time.monotonic()
        before, _ = _run(argv, most=len(lines) // 2)
        after, kept = _run(argv)
    return "LiteLLM's batch_completion", len(lines), before + after, time.monotonic() - began_at, kept


def _run(argv: list[str], most: int | None = None) -> tuple[int, int]:
    """How many answers it told of, at `most` of which it is killed, and how many it kept."""
    answers = kept = 0
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for told in process.stdout:
            answers += told.startswith("answer")
            kept = int(told.split()[1]) if told.startswith("kept") else kept
            if answers == most:
                process.kill()
    return answers, kept


if __name__ == "__main__":
    main()
