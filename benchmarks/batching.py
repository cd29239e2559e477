"""How many tokens of a prompt to evaluate at a time: `python -m benchmarks.batching FILE…`, GGUF files.

A prompt evaluated in larger batches is done sooner, and whoever generates beside it waits longer for the next token, as
does a cancellation. For each file and batch: the prompt's speed alone, its speed beside three others that generate,
and the longest gap between two tokens of those. Batches are taken in turn in each round, so that noise meets all.
"""

import os
import threading
import time
from pathlib import Path

import click
from rich.console import Console

from benchmarks import tables
from benchmarks.tables import Cell, Table, median
from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import Delta, Finish, Generator, Handle, Params, Prompt, Request
from workers.engines import loading

_SLOTS = 4
_WORD = "The harbour is quiet and the sun falls over every stone. "


@click.command(help=__doc__)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--batches", default="64,128,256,512", show_default=True)
@click.option("--tokens", default=600, show_default=True, help="Of the prompt.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=max(1, os.cpu_count() or 1), show_default=True)
def main(files: tuple[Path, ...], batches: str, tokens: int, rounds: int, threads: int) -> None:
    console = Console(width=max(120, Console().width))
    console.print(f"{os.cpu_count()} cores, {threads} threads; load before: {os.getloadavg()[0]:.1f}")
    sizes = [int(batch) for batch in batches.split(",")]
    rows = [row for file in files for row in _rows(file, sizes, tokens, rounds, threads)]
    columns = ("file", "batch", "prompt tokens/s alone", "beside three", "their longest gap, ms")
    note = f"medians of {rounds} rounds; a prompt of about {tokens} tokens"
    tables.show(console, Table("How large should a prompt's batches be?", columns, rows, note))


def _rows(file: Path, batches: list[int], tokens: int, rounds: int, threads: int) -> list[tuple[Cell, ...]]:
    measured: dict[int, list[tuple[float, float, float]]] = {batch: [] for batch in batches}
    for number in range(rounds):
        for batch in batches:
            model = Model("m", "llamacpp", 2 * tokens, _SLOTS, ("generate",), file, options={"batch": batch})
            engine = loading.load(model, slots=_SLOTS, threads=threads)
            try:
                measured[batch].append(_measure(engine, tokens, seed=number))
            finally:
                engine.close()
    return [
        (file.name, batch, *(median(values) for values in zip(*found, strict=True)))
        for batch, found in measured.items()
    ]


def _measure(engine: Generator, tokens: int, seed: int) -> tuple[float, float, float]:
    """Tokens of the prompt a second alone and beside three others, and their longest gap in milliseconds."""
    text = _WORD * (tokens // max(1, len(engine.prompt(_WORD).ids) - 1))
    prompt = engine.prompt(text)
    alone = _prompt_s(engine.generate(_request(prompt, 1, seed)))
    moments: list[list[float]] = [[] for _ in range(_SLOTS - 1)]
    others = [engine.generate(_request(engine.prompt(f"{n} Once"), tokens, 100 + n)) for n in range(_SLOTS - 1)]
    readers = [threading.Thread(target=_read, args=pair) for pair in zip(others, moments, strict=True)]
    for reader in readers:
        reader.start()
    while not all(moments):
        time.sleep(0.01)
    began_at = time.perf_counter()
    beside = _prompt_s(engine.generate(_request(engine.prompt(f"Listen. {text}"), 1, seed)))
    over_at = time.perf_counter()
    for other in others:
        other.cancel()
    for reader in readers:
        reader.join()
    return (
        len(prompt.ids) / alone,
        len(prompt.ids) / beside,
        1000 * max(_gap(seen, began_at, over_at) for seen in moments),
    )


def _gap(seen: list[float], began_at: float, over_at: float) -> float:
    """The longest time within the two moments in which nothing was seen, to the next token after them."""
    within = [began_at, *(moment for moment in seen if moment > began_at)]
    return max((later - earlier for earlier, later in zip(within, [*within[1:], over_at], strict=True)), default=0.0)


def _prompt_s(handle: Handle) -> float:
    """Seconds to the first token."""
    began_at = time.perf_counter()
    try:
        while not any(isinstance(step, Delta | Finish) for step in handle.read(30)):
            pass
        return time.perf_counter() - began_at
    finally:
        handle.close()


def _read(handle: Handle, moments: list[float]) -> None:
    try:
        while True:
            for step in handle.read(30):
                if isinstance(step, Delta):
                    moments.append(time.perf_counter())
                if isinstance(step, Finish):
                    return
    except errors.Cancelled:  # that is how it ends here
        return
    finally:
        handle.close()


def _request(prompt: Prompt, tokens: int, seed: int) -> Request:
    # Drawn, so that no slot's cache is used.
    return Request(prompt, Params(tokens, 0.8, 0.95, 40, 0.05, 1.0, (), seed), scope=str(seed))


if __name__ == "__main__":
    main()
