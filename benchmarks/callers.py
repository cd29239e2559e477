"""Clients in a process of their own that ask for one-token chats as fast as they are answered.

python -m benchmarks.callers HOST PORT PATH KEY MODEL CALLS CLIENTS, which prints what it saw as JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator

from benchmarks import wire

BODY = {"messages": [{"role": "user", "content": "Tell me a story about Anna."}], "max_tokens": 1, "temperature": 0}


async def call_all(address: wire.Address, sent: bytes, calls: int, clients: int) -> list[float]:
    """So many calls; the seconds each answer took. Raises on a refusal."""
    turns = iter(range(calls))
    took = await asyncio.gather(*[_call(address, sent, turns) for _ in range(clients)])
    return [seconds for own in took for seconds in own]


async def _call(address: wire.Address, sent: bytes, turns: Iterator[int]) -> list[float]:
    reader, writer = await asyncio.open_connection(*address)
    took = []
    for _ in turns:
        began_at = time.perf_counter()
        status, body = await wire.exchange(reader, writer, sent)
        took.append(time.perf_counter() - began_at)
        if status != 200:
            raise RuntimeError(f"{status} {body[:200]!r}")
    writer.close()
    return took


def main() -> None:
    host, port, path, key, model, calls, clients = sys.argv[1:]
    sent = wire.request("POST", path, key, {"model": model, **BODY})
    began_at, cpu_s = time.perf_counter(), time.process_time()
    took = asyncio.run(call_all((host, int(port)), sent, int(calls), int(clients)))
    seconds = time.perf_counter() - began_at
    print(json.dumps({"seconds": seconds, "took": took, "cpu_s": time.process_time() - cpu_s}))


if __name__ == "__main__":
    main()
