"""What the clients of the queues beside ours have in common: jobs go in one by one, several submitters at once."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

JOB_ID = "0123456789abcdef0123456789abcdef"  # all that a job carries


async def take(submit: Callable[[], Awaitable[object]], jobs: int, connections: int) -> None:
    """Says `ready`, waits for a line, submits so many; prints when that began and the CPU seconds it took, as JSON.

    Who measures looks at PostgreSQL in between, so that opening the connections isn't counted.
    """
    turns = iter(range(jobs))

    async def submitter() -> None:
        for _ in turns:
            await submit()

    print("ready", flush=True)
    sys.stdin.readline()
    began_at, cpu_s = time.time(), time.process_time()
    await asyncio.gather(*[submitter() for _ in range(connections)])
    print(json.dumps({"began_at": began_at, "cpu_s": time.process_time() - cpu_s}))
