"""How soon a cancelled job's slot serves the next job, and what its neighbours notice.

All slots are taken and a further job waits. When it begins, Celery's slot was free; when its first token comes, the
engine's slot was.
"""

import asyncio
import itertools
import time
from dataclasses import dataclass

from benchmarks.clients import Platform
from benchmarks.tables import Cell, Table
from benchmarks.wire import Reading

_LONG_TOKENS = 800
_UNDER_WAY_S = 1.5


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Seconds from the cancel request to its answer, to the next job's start and first token; the neighbours' longest

    gap between two deltas, before and after the request.
    """

    answered_s: float
    started_s: float
    first_token_s: float
    gap_before_s: float
    gap_after_s: float


def measure(platform: Platform, *, neighbours: int) -> Table:
    """Cancels one job beside so many that generate, which together take all slots."""
    long_prompt = "x " * (_LONG_TOKENS // 2)
    phases = {"prompt evaluation": (long_prompt, b"event: progress"), "generation": ("a story", b"event: delta")}
    rows: list[tuple[Cell, ...]] = [
        (phase, *_milliseconds(asyncio.run(_cancel(platform, neighbours, prompt, mark))))
        for phase, (prompt, mark) in phases.items()
    ]
    columns = (
        "during",
        "answered",
        "next job starts",
        "next job's first token",
        "neighbours' longest gap before",
        "and after",
    )
    note = f"milliseconds after the request; a prompt of {_LONG_TOKENS} tokens, {neighbours} neighbours"
    return Table("How soon is a cancelled slot free?", columns, rows, note)


def _milliseconds(seen: Cancelled) -> list[float]:
    seconds = (seen.answered_s, seen.started_s, seen.first_token_s, seen.gap_before_s, seen.gap_after_s)
    return [1000 * value for value in seconds]


async def _cancel(platform: Platform, neighbours: int, prompt: str, mark: bytes) -> Cancelled:
    others = [await platform.submit(f"{number} neighbour", 120, number) for number in range(neighbours)]
    followed = [asyncio.create_task(platform.follow(job_id)) for job_id in others]
    await asyncio.sleep(_UNDER_WAY_S)
    victim = await platform.submit(prompt, 200, 0)
    watched = asyncio.create_task(_follow_to(platform, victim, mark))
    following = await platform.submit("next", 4, 0)
    reading = asyncio.create_task(platform.follow(following))
    await watched
    await asyncio.sleep(0.3)
    asked_at = time.perf_counter()
    await platform.cancel(victim)
    answered_at = time.perf_counter()
    next_job = await reading
    started_at, first_at = next_job.when(b"event: started"), next_job.when(b"event: delta")
    for job_id in others:
        await platform.cancel(job_id)
    gaps = [_longest_gaps(seen, asked_at, first_at) for seen in await asyncio.gather(*followed)]
    before, after = max(gap for gap, _ in gaps), max(gap for _, gap in gaps)
    return Cancelled(answered_at - asked_at, started_at - asked_at, first_at - asked_at, before, after)


async def _follow_to(platform: Platform, job_id: str, mark: bytes) -> None:
    """Returns when the job's stream has come to the mark; Raises when it ends before."""
    reader, writer = await platform.open_events(job_id)
    await reader.readuntil(mark)
    writer.close()


def _longest_gaps(seen: Reading, asked_at: float, until: float) -> tuple[float, float]:
    """The longest time between two deltas up to `asked_at`, and from there to `until`."""
    moments = seen.moments(b"event: delta")
    gaps = [(later - earlier, later) for earlier, later in itertools.pairwise(moments)]
    before = max((gap for gap, at in gaps if at <= asked_at), default=0.0)
    return before, max((gap for gap, at in gaps if asked_at < at <= until + 1), default=0.0)
