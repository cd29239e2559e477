"""Tokens per second of several generations at once, through the platform and of the engine host called directly."""

import asyncio
import random
import time
from dataclasses import dataclass

import psutil

from benchmarks import stacks
from benchmarks.clients import Answer, Client, Platform
from benchmarks.hosts import Host
from benchmarks.tables import Table, median

Sample = tuple[float, dict[str, float]]  # tokens a second, CPU milliseconds a token by role
_OURS = ("api", "redis", "postgres", "control")


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked at once: `streams` clients, each `jobs` times in a row for `tokens` tokens."""

    streams: int
    jobs: int
    tokens: int


def measure(title: str, platform: Platform, host: Host, loads: list[Load], *, rounds: int) -> Table:
    """Platform and host in turn, so many rounds for each load; medians."""
    rows = [_compare(platform, host, load, rounds) for load in loads]
    columns = ("at once", "tokens/s platform", "tokens/s direct", "ratio", "CPU ms/token: host", "worker", *_OURS)
    question = f"How many tokens per second? {title}"
    return Table(
        question, (*columns, "all but the host", "host directly"), rows, f"medians of {rounds} rounds, readers over SSE"
    )


def unread(platform: Platform, load: Load, *, rounds: int) -> Table:
    """The load without anybody reading the streams."""
    samples = [_without_readers(platform, load) for _ in range(rounds)]
    columns = ("at once", "tokens/s platform", "CPU ms/token: worker", *_OURS)
    cpu = [median([cpu[role] for _, cpu in samples]) for role in ("worker", *_OURS)]
    row = (load.streams, median([speed for speed, _ in samples]), *cpu)
    return Table("And when nobody reads the streams?", columns, [row], "")


def _compare(platform: Platform, host: Host, load: Load, rounds: int) -> tuple[float | int, ...]:
    through, beside = [], []
    for _ in range(rounds):
        through.append(_sample(platform, platform.stack.roles(), load))
        beside.append(_sample(host.client, {"host": [host.process]}, load))
    speeds = [median([speed for speed, _ in side]) for side in (through, beside)]
    ratio = median([ours / theirs for (ours, _), (theirs, _) in zip(through, beside, strict=True)])
    cpu = {role: median([_named(cpu, role) for _, cpu in through]) for role in ("host", "worker", *_OURS)}
    rest = sum(cpu.values()) - cpu["host"]
    return (load.streams, *speeds, ratio, *cpu.values(), rest, median([cpu["host"] for _, cpu in beside]))


def _named(cpu: dict[str, float], role: str) -> float:
    """What all roles of a kind used: `worker` is every worker, `host` every engine host."""
    prefix = {"worker": "worker-", "host": "engine host of "}.get(role, role)
    return sum(spent for name, spent in cpu.items() if name.startswith(prefix))


def _sample(client: Client, roles: dict[str, list[psutil.Process]], load: Load) -> Sample:
    before = stacks.cpu_s(roles)
    answers = asyncio.run(_generate(client, load))
    after = stacks.cpu_s(roles)
    tokens = sum(answer.tokens for answer in answers)
    took_s = max(answer.ended_at for answer in answers) - min(answer.began_at for answer in answers)
    return tokens / took_s, {role: 1000 * (after[role] - before[role]) / tokens for role in after}


async def _generate(client: Client, load: Load) -> list[Answer]:
    async def stream(number: int) -> list[Answer]:
        seeds = range(number * load.jobs, (number + 1) * load.jobs)
        return [await client.generate(_prompt(), load.tokens, seed) for seed in seeds]

    return [answer for answers in await asyncio.gather(*map(stream, range(load.streams))) for answer in answers]


def _without_readers(platform: Platform, load: Load) -> Sample:
    """Submits everything and asks only PostgreSQL how far it has come."""
    roles = platform.stack.roles()
    before, began_at = stacks.cpu_s(roles), platform.stack.query("SELECT clock_timestamp()")[0]

    async def submit() -> None:
        await asyncio.gather(
            *[platform.submit(_prompt(), load.tokens, seed) for seed in range(load.streams * load.jobs)]
        )

    asyncio.run(submit())
    counted = (
        "SELECT count(*) FILTER (WHERE finished_at IS NULL), sum(completion_tokens),"
        " extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM jobs WHERE created_at >= %s"
    )
    while (row := platform.stack.query(counted, began_at))[0]:
        time.sleep(0.2)
    after = stacks.cpu_s(roles)
    cpu = {role: 1000 * (after[role] - before[role]) / row[1] for role in after}
    return row[1] / row[2], {role: _named(cpu, role) for role in ("worker", *_OURS)}


def _prompt() -> str:
    """Begins differently each time: a round that came before must not leave one side a cached prompt."""
    return f"{random.randrange(10**9)} Once upon a time"
