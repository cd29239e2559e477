"""How much context and how many slots of a model fit into this machine's memory."""

from collections.abc import Iterator
from dataclasses import dataclass

from cli.launcher import trial

RESERVE_BYTES = 10**9  # for everything that isn't a model
LARGEST_CONTEXT = 8192
UNTOLD_CONTEXT = 4096
SMALLEST_CONTEXT = 512
SLOTS = (4, 2, 1)


@dataclass(frozen=True, slots=True)
class Fit:
    """What one model is given, and the bytes of memory that it takes with it."""

    context: int
    slots: int
    memory_bytes: int


def best(engine: str, header: trial.Answer, room_bytes: int) -> Fit | None:
    """The largest fit that the room has; slots are given up before context. None when even the smallest hasn't."""
    for context, slots in _wishes(header["context"]):
        memory_bytes = trial.memory(engine, header, context, slots)
        if memory_bytes <= room_bytes:
            return Fit(context, slots, memory_bytes)
    return None


def smallest(engine: str, header: trial.Answer) -> int:
    """The bytes below which the model can't be had."""
    return min(trial.memory(engine, header, context, slots) for context, slots in _wishes(header["context"]))


def first_wish(trained: int | None) -> int:
    """The context to begin with, of a model that was trained for so many tokens; None where its header doesn't say."""
    return min(trained, LARGEST_CONTEXT) if trained else UNTOLD_CONTEXT


def _wishes(trained: int | None) -> Iterator[tuple[int, int]]:
    context = first_wish(trained)
    for slots in SLOTS:
        yield context, slots
    while context // 2 >= SMALLEST_CONTEXT:
        context //= 2
        yield context, SLOTS[-1]
