"""A client in a process of its own that submits as fast as it is answered, over connections that stay open.

python -m benchmarks.load HOST PORT KEY JOBS CONNECTIONS, which prints what it saw as JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator

from benchmarks import wire


async def submit_all(address: wire.Address, key: str, jobs: int, connections: int) -> list[float]:
    """Submits so many one-token jobs for the model `echo`; the seconds each answer took. Raises on a refusal."""
    job = {"type": "generate", "model": "echo", "input": {"prompt": "hello"}, "params": {"max_tokens": 1}}
    return await ask_all(address, wire.request("POST", "/v1/jobs", key, job), 202, jobs, connections)


async def ask_all(address: wire.Address, sent: bytes, good: int, times: int, connections: int) -> list[float]:
    """Asks the same so many times; the seconds each answer took. Raises on another status than the good one."""
    turns = iter(range(times))
    took = await asyncio.gather(*[_ask(address, sent, good, turns) for _ in range(connections)])
    return [seconds for own in took for seconds in own]


async def _ask(address: wire.Address, sent: bytes, good: int, turns: Iterator[int]) -> list[float]:
    reader, writer = await asyncio.open_connection(*address)
    took = []
    for _ in turns:
        began_at = time.perf_counter()
        status, body = await wire.exchange(reader, writer, sent)
        took.append(time.perf_counter() - began_at)
        if status != good:
            raise RuntimeError(f"{status} {body[:200]!r}")
    writer.close()
    return took


def main() -> None:
    host, port, key, jobs, connections = sys.argv[1:]
    began_at, cpu_s = time.time(), time.process_time()
    took = asyncio.run(submit_all((host, int(port)), key, int(jobs), int(connections)))
    cpu_s = time.process_time() - cpu_s
    print(json.dumps({"began_at": began_at, "ended_at": time.time(), "cpu_s": cpu_s, "took_s": took}))


if __name__ == "__main__":
    main()
