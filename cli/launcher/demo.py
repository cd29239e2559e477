"""`forebay demo`: everything started, jobs answered and documents searched before your eyes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from cli.client import ask, passages
from cli.client.client import ENDS, Client, Job
from cli.launcher import credentials, datafolder, lineup

FACT_SHEET = Path(__file__).parent / "fact_sheet.txt"
QUESTION = "What is the code of the harbour?"
STORY = "Tell me a story about Anna."

# Collections of the demonstration, what they are made from, and what is searched for in them.
DOCUMENTS = {"facts": FACT_SHEET, "readme": lineup.ROOT / "README.md"}
SEARCHES = {"facts": "Who helps the sick?", "readme": "How do I run it on more than one machine?"}
QUESTIONS = ("What is the code of the harbour?", "Where is the red lamp?", "How much does the boat cost?")
PASSAGES = 2


@dataclass(frozen=True, slots=True)
class Launched:
    """A `forebay up` of ours that can answer jobs."""

    url: str
    key: str
    process: "subprocess.Popen[str]"


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=".forebay",
    show_default=True,
    help="Where everything is kept.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Of the API.")
@click.option("--flower-port", type=click.IntRange(1, 65535), default=5555, show_default=True, help="Of Flower.")
@click.option("--exit", "leave", is_flag=True, envvar="DEMO_EXIT", help="Stop everything after the demonstration.")
def demo(data: Path, port: int, flower_port: int, leave: bool) -> None:
    """Start everything, show chats, searches and answers from documents, and keep running until Ctrl-C.

    Status 1 when a job fails, or when what was started stops by itself.
    """
    console = Console(highlight=False, emoji=False)
    with _launched(data, port, flower_port) as launched:
        with Client(launched.url, launched.key) as client:
            jobs = [_show(console, client, title, request) for title, request in requests()]
            jobs += show_documents(console, client)
        login = credentials.read(datafolder.DataFolder(data).secrets).flower_login
        user, _, password = login.partition(":")
        console.print(f"\nThe API:  {launched.url}/docs/  with the key {launched.key}", soft_wrap=True)
        console.print(f"Flower:   http://{lineup.HOST}:{flower_port}  as {user} with the password {password}")
        if not leave:
            console.print("\nEverything keeps running until Ctrl-C.")
            with suppress(KeyboardInterrupt):
                launched.process.wait()
                sys.exit("what was started has stopped by itself")
    if any(job["status"] != "succeeded" for job in jobs):
        sys.exit(1)


def requests() -> list[tuple[str, dict[str, Any]]]:
    """What the demonstration asks: a question over a fact sheet, which has one right answer, and a story."""
    facts = FACT_SHEET.read_text(encoding="utf-8").strip()
    question = f"Context: {facts}\nQuestion: {QUESTION}"
    return [
        (question, _chat(question, {"temperature": 0, "max_tokens": 40})),
        (STORY, _chat(STORY, {"temperature": 0.8, "seed": 7, "max_tokens": 100})),
    ]


def _chat(content: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"type": "chat", "input": {"messages": [{"role": "user", "content": content}]}, "params": params}


def _show(console: Console, client: Client, title: str, request: dict[str, Any]) -> Job:
    """Has one job answered, its words as they come, then its record."""
    job = _answer(console, client, title, request)
    console.print_json(data=job)
    return job


def _answer(console: Console, client: Client, title: str, request: dict[str, Any]) -> Job:
    _say(console, title)
    job = client.submit(request)
    for event in client.events(job["id"]):
        if event.type == "delta":
            console.print(event.data["text"], end="", markup=False, soft_wrap=True)
        elif event.type in ENDS:
            job = event.data
    console.print("\n")
    return job


def show_documents(console: Console, client: Client) -> list[Job]:
    """Brings documents, searches them, and has questions answered from them; nothing without an embedding model."""
    if not any("embed" in model["types"] and model["workers"] for model in client.models()):
        console.print("\nDocuments are left out: no model for embeddings runs. `make embedding` makes the file of one.")
        return []
    # What an earlier demonstration brought is still there.
    new = {name: file for name, file in DOCUMENTS.items() if not (client.collection(name) or {"chunks": 0})["chunks"]}
    brought = [_bring(console, client, name, file) for name, file in new.items()]
    if any(job["status"] != "succeeded" for job in brought):
        return brought
    for name, query in SEARCHES.items():
        _say(console, f"search {name}: {query}")
        _print_passages(console, client.search(query, name, PASSAGES))
    return brought + [_ask(console, client, question) for question in QUESTIONS]


def _bring(console: Console, client: Client, name: str, file: Path) -> Job:
    _say(console, f"ingest {file.name} into {name}")
    job = client.end(client.upload(file, {"collection": name, "title": file.name})["id"])
    console.print(f"ready, chunks: {job['result']['chunks']}" if job["result"] else f"{job['status']}: {job['error']}")
    return job


def _ask(console: Console, client: Client, question: str) -> Job:
    job = _answer(console, client, f"ask facts: {question}", ask.request(question, "facts", PASSAGES))
    _print_passages(console, (job["result"] or {}).get("passages", []))
    return job


def _print_passages(console: Console, found: list[passages.Passage]) -> None:
    for number, passage in enumerate(found, 1):
        console.print(passages.told(number, passage), markup=False, soft_wrap=True)


def _say(console: Console, title: str) -> None:
    console.print(f"\n> {title}", style="bold", markup=False)


@contextmanager
def _launched(data: Path, port: int, flower_port: int) -> Iterator[Launched]:
    """`forebay up` for as long as the block runs; stops it however that ends. Exits with its status if it can't."""
    argv = [sys.executable, "-m", "cli", "up", "--data", str(data.absolute())]
    ports = ["--port", str(port), "--flower-port", str(flower_port)]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A session of its own: Ctrl-C reaches only us, and we stop it in order.
    with subprocess.Popen(
        [*argv, *ports], cwd=lineup.ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True, env=os.environ
    ) as process:
        try:
            yield _ready(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _ready(process: "subprocess.Popen[str]") -> Launched:
    assert process.stdout is not None
    word, _, rest = process.stdout.readline().strip().partition(" ")
    if word != "ready":
        sys.exit(process.wait() or 1)
    told = dict(part.split("=", 1) for part in rest.split())
    return Launched(told["url"], told["key"], process)
