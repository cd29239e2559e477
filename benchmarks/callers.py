"""Clients in a process of their own that ask for one-token chats as fast as they are answered.

python -m benchmarks.callers HOST PORT PATH KEY MODEL CALLS CLIENTS, which prints what it saw as JSON.
"""

import asyncio
import json
import sys
import time

from benchmarks import load, wire

BODY = {"messages": [{"role": "user", "content": "Tell me a story about Anna."}], "max_tokens": 1, "temperature": 0}


def main() -> None:
    host, port, path, key, model, calls, clients = sys.argv[1:]
    sent = wire.request("POST", path, key, {"model": model, **BODY})
    began_at, cpu_s = time.perf_counter(), time.process_time()
    took = asyncio.run(load.ask_all((host, int(port)), sent, 200, int(calls), int(clients)))
    seconds = time.perf_counter() - began_at
    print(json.dumps({"seconds": seconds, "took": took, "cpu_s": time.process_time() - cpu_s}))


if __name__ == "__main__":
    main()
