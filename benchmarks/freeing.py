"""How soon a slot of the engine host itself is free after a cancel, as the host tells it."""

import itertools
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from benchmarks.tables import Cell, Table
from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import Delta, Finish, Handle, Params, Progress, Request
from workers.engines import loading
from workers.engines.llamacpp import LlamaCpp

_LONG_PROMPT = "x " * 400  # about 800 tokens


def measure(file: Path, *, slots: int, context: int, threads: int) -> Table:
    """One generation is cancelled beside others that fill all slots but its own."""
    model = Model("freeing", "llamacpp", context, slots, ("generate",), file)
    engine = loading.load(model, slots=slots, threads=threads)
    assert isinstance(engine, LlamaCpp)
    try:
        rows = [
            (
                "prompt evaluation",
                *_cancel(engine, _LONG_PROMPT, lambda step: isinstance(step, Progress) and step.done),
            ),
            ("generation", *_cancel(engine, "a story", lambda step: isinstance(step, Delta))),
        ]
    finally:
        engine.close()
    note = f"milliseconds; {slots - 1} neighbours generate, the prompt has 800 tokens; read from the host's /slots"
    return Table(
        "How soon is the engine's own slot free?", ("during", "slot free after", "neighbours' gap"), rows, note
    )


def _cancel(engine: LlamaCpp, prompt: str, reached: Callable[[object], object]) -> tuple[Cell, ...]:
    moments: list[list[float]] = [[] for _ in range(engine.slots - 1)]
    others = [engine.generate(_request(engine, f"{number} neighbour", number)) for number in range(engine.slots - 1)]
    readers = [threading.Thread(target=_read, args=pair) for pair in zip(others, moments, strict=True)]
    for reader in readers:
        reader.start()
    time.sleep(1.0)
    victim = engine.generate(_request(engine, prompt, 99))
    while not any(reached(step) for step in victim.read(10)):
        pass
    asked_at = time.perf_counter()
    victim.cancel()
    victim.close()
    while _busy(engine) >= engine.slots:
        time.sleep(0.005)
    free_s = time.perf_counter() - asked_at
    for other in others:
        other.cancel()
    for reader in readers:
        reader.join()
    gaps = [later - earlier for seen in moments for earlier, later in itertools.pairwise(seen) if later > asked_at - 2]
    return 1000 * free_s, 1000 * max(gaps)


def _read(handle: Handle, moments: list[float]) -> None:
    try:
        while True:
            for step in handle.read(10):
                if isinstance(step, Delta):
                    moments.append(time.perf_counter())
                if isinstance(step, Finish):
                    return
    except (errors.Cancelled, errors.EngineLost):  # cancelled: that is how it ends here
        return
    finally:
        handle.close()


def _request(engine: LlamaCpp, prompt: str, seed: int) -> Request:
    return Request(engine.prompt(prompt), Params(400, 0.8, 0.95, 40, 0.05, 1.0, (), seed), scope=str(seed))


def _busy(engine: LlamaCpp) -> int:
    """How many slots the host says are at work."""
    asked = urllib.request.Request(
        f"{engine.host.ready['address']}/slots", headers={"Authorization": f"Bearer {engine._key}"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return answer.read().decode().replace(" ", "").count('"is_processing":true')
