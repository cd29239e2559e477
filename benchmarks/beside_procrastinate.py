"""procrastinate with jobs that do nothing, in an environment that has it; see `benchmarks.queues`.

python -m benchmarks.beside_procrastinate URL install | work SLOTS | submit JOBS CONNECTIONS
"""

import asyncio
import logging
import sys
from typing import Any

from procrastinate import App, PsycopgConnector
from procrastinate.tasks import Task

from benchmarks import turns


async def main() -> None:
    logging.getLogger("procrastinate").setLevel(logging.ERROR)  # it warns of an app in the main module
    url, verb, *numbers = sys.argv[1:]
    match verb, [int(number) for number in numbers]:
        case "install", []:
            app, _ = _app(url, 1)
            async with app.open_async():
                await app.schema_manager.apply_schema_async()
        case "work", [slots]:
            app, _ = _app(url, slots + 2)  # one listens, one sends heartbeats
            async with app.open_async():
                await app.run_worker_async(concurrency=slots)
        case "submit", [jobs, connections]:
            app, task = _app(url, connections)
            async with app.open_async():
                await turns.take(lambda: task.defer_async(job_id=turns.JOB_ID), jobs, connections)


def _app(url: str, connections: int) -> tuple[App, Task[Any, Any, Any]]:
    app = App(connector=PsycopgConnector(conninfo=url, min_size=connections, max_size=connections))

    @app.task(name="nothing")
    async def nothing(job_id: str) -> None: ...

    return app, nothing


if __name__ == "__main__":
    asyncio.run(main())
