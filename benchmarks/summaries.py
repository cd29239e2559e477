"""A folder's map-reduce through the platform beside the same steps straight into the engine's slots.

`python -m benchmarks.summaries [--model gemma] [--documents 200] [--kill]`

Tokens per second, read and written, of the whole folder; both sides take turns, and make their prompts by the same
functions. With `--kill` the platform alone, its worker killed every 20 seconds: what came of each file, how often each
was answered, which errors there were; then again with one file changed. With `--show 10` the first ten of that folder's
summaries, to be judged.
"""

import json
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import psutil
from rich.console import Console

from benchmarks import folders, stacks, tables
from benchmarks.stacks import Stack
from benchmarks.subjects import SUBJECTS, Subject
from benchmarks.tables import Table
from cli.client import summarize as command
from cli.client.client import ENDS, Client
from tasks.documents import chunking
from tasks.kinds.generation import Generation
from tasks.kinds.summary import Step
from tasks.models.catalog import Model
from tasks.models.engine import Delta, Finish, Request
from tasks.summaries import prompts, tree
from tasks.summaries.manner import Manner
from tasks.summaries.prompts import Purpose
from workers.engines import loading
from workers.engines.llamacpp import LlamaCpp

SLOTS = 4
KILL_S = 20.0
_SLACK = 8


@click.command(help=__doc__)
@click.option("--model", type=click.Choice(list(SUBJECTS)), default="demo", show_default=True)
@click.option("--documents", default=200, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--kill", is_flag=True, help="Kill the worker every 20 s instead of measuring.")
@click.option("--show", default=0, help="Print so many summaries instead of measuring.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the tables here too.")
def main(model: str, documents: int, rounds: int, kill: bool, show: int, file: Path | None) -> None:
    console, subject = Console(width=max(140, Console().width)), SUBJECTS[model]
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as name:
        folder = Path(name)
        if show:
            for result in said(folder, subject, documents, show):
                console.print(f"{result['filename']}\n{result['summary'] or result['error']}\n", markup=False)
            return
        found = killed(folder, subject, documents) if kill else measured(folder, subject, documents, rounds)
        shown = list(found)
    for table in shown:
        tables.show(console, table)
    if file:
        file.write_text(
            json.dumps([table.__dict__ if hasattr(table, "__dict__") else _plain(table) for table in shown])
        )


def measured(folder: Path, subject: Subject, documents: int, rounds: int) -> Iterator[Table]:
    rows: list[tuple[Any, ...]] = []
    with (
        stacks.platform(folder / "platform", _catalog(subject)) as stack,
        bare(subject) as engine,
        client(stack) as api,
    ):
        for number in range(rounds):
            texts = [text for _, text in _texts(folder / f"texts-{number}", documents, seed=number + 1)]
            direct = straight(engine, texts)
            through = asked(api, texts, subject.name)
            rows.append(
                (number + 1, through.rate, direct.rate, through.rate / direct.rate, through.tokens, direct.tokens)
            )
    columns = ("round", "platform, tokens/s", "engine's slots, tokens/s", "share", "tokens", "tokens straight")
    yield Table(f"{documents} documents of {subject.name}, {SLOTS} slots", columns, rows)


def killed(folder: Path, subject: Subject, documents: int) -> Iterator[Table]:
    given = folder / "files"
    files = folders.make(given, documents)
    with stacks.platform(folder / "platform", _catalog(subject)) as stack, client(stack) as api:
        with killing(stack, subject.name) as deaths:
            first = folder_summary(api, given, folder / "out", subject.name)
        yield _told(f"{documents} files, {len(deaths)} kills", first)
        changed = next(file for file in files if file.suffix == ".txt")
        folders.change(changed)
        second = folder_summary(api, given, folder / "again", subject.name)
        yield _told(f"again, {changed.name} changed, no kills", second)


def said(folder: Path, subject: Subject, documents: int, first: int) -> list[dict[str, Any]]:
    """The results of the folder's first files."""
    given = folder / "files"
    for file in folders.make(given, documents)[first:]:
        file.unlink()
    with stacks.platform(folder / "platform", _catalog(subject)) as stack, client(stack) as api:
        return folder_summary(api, given, folder / "out", subject.name).results


@dataclass(frozen=True, slots=True)
class Run:
    """Tokens, read and written, and the seconds that they took."""

    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


def asked(api: Client, texts: Sequence[str], model: str) -> Run:
    """The summary of these texts through the platform."""
    brought = [
        document["id"]
        for first in range(0, len(texts), 50)
        for document in api._ask(
            "POST", "/v1/summaries/documents", json={"texts": [{"text": text} for text in texts[first : first + 50]]}
        )["data"]
    ]
    began_at = time.perf_counter()
    job = api.summarize({"documents": brought, "model": model}, uuid.uuid4().hex)
    while (summary := api.summary(job["id"], wait_s=30))["status"] not in ENDS:
        pass
    seconds = time.perf_counter() - began_at
    assert summary["counts"]["succeeded"] == len(texts), summary
    return Run(sum(summary["usage"].values()), seconds)


def straight(engine: LlamaCpp, texts: Sequence[str]) -> Run:
    """The same steps, so many documents at once as the engine has slots."""
    began_at = time.perf_counter()
    with ThreadPoolExecutor(SLOTS) as pool:
        tokens = sum(pool.map(lambda text: _climb(engine, text), texts))
    return Run(tokens, time.perf_counter() - began_at)


def _climb(engine: LlamaCpp, text: str) -> int:
    spent, level, own = 0, [text], True
    while True:
        last = _step(engine, Purpose("whole" if own and len(level) == 1 else "parts", last=True), level)
        if _tokens(engine, last) + (_generation(engine, last).max_tokens or 0) <= engine.context:
            return spent + _take(engine, last)[1]
        part = Purpose("part" if own else "parts", last=False)
        room = (
            engine.context - prompts.notes_tokens(engine.context) - _tokens(engine, _step(engine, part, [""])) - _SLACK
        )
        if own:
            around = len(engine.tokenize([""])[0])
            pieces = chunking.cut(text, partial(_counts, engine, around), room - around, 0)
            groups = [[piece.text] for piece in pieces]
        else:
            costs = [len(ids) + 1 for ids in engine.tokenize(level)]
            found = tree.groups(level, costs, room, prompts.notes_tokens(engine.context))
            groups = [[level[at] for at in group] for group in found]
        taken = [_take(engine, _step(engine, part, group)) for group in groups]
        spent += sum(tokens for _, tokens in taken)
        level, own = [said for said, _ in taken if said], False


def _counts(engine: LlamaCpp, around: int, texts: Sequence[str]) -> list[int]:
    return [len(ids) - around for ids in engine.tokenize(texts)]


def _step(engine: LlamaCpp, purpose: Purpose, texts: Sequence[str]) -> Step:
    return Step(purpose, Manner(), tuple(texts), None, engine.instructed)


def _generation(engine: LlamaCpp, step: Step) -> Generation:
    return step.asked(engine.context)


def _prompt(engine: LlamaCpp, step: Step) -> Any:
    asked = _generation(engine, step)
    return engine.prompt(asked.prompt) if asked.prompt else engine.chat(asked.messages())


def _tokens(engine: LlamaCpp, step: Step) -> int:
    return len(_prompt(engine, step).ids)


def _take(engine: LlamaCpp, step: Step) -> tuple[str, int]:
    """What is kept of the answer, and the tokens of both."""
    prompt = _prompt(engine, step)
    params = _generation(engine, step).params(0, engine.context - len(prompt.ids))
    handle = engine.generate(Request(prompt, params, scope="bench"))
    said, tokens = "", len(prompt.ids)
    try:
        while True:
            for each in handle.read(5):
                if isinstance(each, Delta):
                    said, tokens = said + each.text, tokens + each.tokens
                elif isinstance(each, Finish):
                    return step.kept(said, engine.context, finished=each.reason == "stop"), tokens + each.tokens
    finally:
        handle.close()


@contextmanager
def bare(subject: Subject) -> Iterator[LlamaCpp]:
    model = Model(subject.name, "llamacpp", subject.context, SLOTS, ("generate",), subject.file)
    engine = loading.load(model, slots=SLOTS, threads=psutil.cpu_count() or 1)
    assert isinstance(engine, LlamaCpp)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def client(stack: Stack) -> Iterator[Client]:
    host, port = stack.address
    with Client(f"http://{host}:{port}", stack.key) as api:
        yield api


@contextmanager
def killing(stack: Stack, worker: str) -> Iterator[list[float]]:
    """Kills the model's worker every so often; the list of when."""
    gone, deaths = threading.Event(), list[float]()

    def kill() -> None:
        while not gone.wait(KILL_S):
            for name, found in stack.roles().items():
                if worker in name and not name.startswith("engine host"):
                    found[0].kill()
                    deaths.append(time.time())

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield deaths
    finally:
        gone.set()
        thread.join()


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a folder: its results, how often each document had one, and how many steps were taken anew."""

    results: list[dict[str, Any]]
    seconds: float

    @property
    def steps(self) -> tuple[int, int]:
        return tuple(sum(each[name] or 0 for each in self.results) for name in ("steps", "cached_steps"))  # type: ignore[return-value]


def folder_summary(api: Client, given: Path, out: Path, model: str) -> Told:
    """A folder summarised as `forebay summarize` does it."""
    out.mkdir()
    began_at = time.perf_counter()
    errand = command.Errand(out, {"model": model}, command.chosen([given], out))
    command.begin(api, errand)
    command.follow(api, errand)
    seconds, results = time.perf_counter() - began_at, list[dict[str, Any]]()
    while page := api.results(errand.summary, len(results)):
        results += page
    return Told(results, seconds)


def _told(title: str, told: Told) -> Table:
    documents = [result["document_id"] for result in told.results]
    steps, cached = told.steps
    rows = [
        ("results", len(documents)),
        ("given twice", len(documents) - len(set(documents))),
        ("with a summary", sum(result["status"] == "succeeded" for result in told.results)),
        *(
            (f"failed: {result['filename']}", f"{result['error']['code']}: {result['error']['message']}")
            for result in told.results
            if result["error"]
        ),
        ("steps", steps),
        ("of them taken before", cached),
        ("seconds", told.seconds),
    ]
    return Table(title, ("", ""), rows)


def _texts(folder: Path, documents: int, seed: int) -> list[tuple[str, str]]:
    folders.make(folder, documents * 2 + 4, seed)
    found = [file for file in sorted(folder.iterdir()) if file.suffix in (".md", ".txt")]
    return [(file.name, file.read_text(encoding="utf-8")) for file in found[:documents]]


def _catalog(subject: Subject) -> str:
    return subject.shipped()


def _plain(table: Table) -> dict[str, Any]:
    return {"question": table.question, "columns": table.columns, "rows": list(table.rows), "note": table.note}


if __name__ == "__main__":
    main()
