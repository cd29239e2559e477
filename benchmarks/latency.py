"""How long from asking to the id, and to the first token: one job at a time on an otherwise idle machine."""

import asyncio
import random

from benchmarks.clients import Answer, Client
from benchmarks.tables import Table, median, percentile

_TOKENS = 8


def measure(platform: Client, direct: Client, *, rounds: int, jobs: int) -> Table:
    """Asks in turn, `jobs` on one side and then on the other, so many rounds."""
    answers = asyncio.run(_ask(platform, direct, rounds, jobs))
    through, beside = answers
    accepted = [1000 * answer.accepted_s for answer in through]
    first = [[1000 * answer.first_token_s for answer in side] for side in answers]
    late = median(first[0]) - median(first[1])
    rows = [
        ("submit to id, ms", *_spread(accepted)),
        ("submit to first token, platform, ms", *_spread(first[0])),
        ("first token, engine host directly, ms", *_spread(first[1])),
    ]
    note = f"{len(through)} jobs and {len(beside)} direct; the median first token comes {late:.1f} ms later"
    return Table("How long to the id, and to the first token?", ("", "p50", "p90", "p99"), rows, note)


async def _ask(platform: Client, direct: Client, rounds: int, jobs: int) -> tuple[list[Answer], list[Answer]]:
    sides: tuple[list[Answer], list[Answer]] = ([], [])
    for client in (platform, direct):
        await client.generate(_prompt(), _TOKENS, 0)
    for _ in range(rounds):
        for client, answers in zip((platform, direct), sides, strict=True):
            for seed in range(jobs):
                answers.append(await client.generate(_prompt(), _TOKENS, seed))
                await asyncio.sleep(0.02)
    return sides


def _prompt() -> str:
    """Some forty tokens that begin differently each time, so that no cached prompt serves."""
    return f"{random.randrange(10**9)} Once upon a time there was a fox who lived in a wood and liked to sing."


def _spread(values: list[float]) -> tuple[float, float, float]:
    return percentile(values, 50), percentile(values, 90), percentile(values, 99)
