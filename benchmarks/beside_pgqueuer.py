"""pgqueuer over asyncpg with jobs that do nothing, in an environment that has it; see `benchmarks.queues`.

python -m benchmarks.beside_pgqueuer URL install | work SLOTS BATCH | submit JOBS CONNECTIONS

SLOTS are the jobs it may hold at once, 0 for any number; it asks that they be at least twice BATCH.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pgqueuer
import uvloop

from benchmarks import turns


async def main() -> None:
    url, verb, *numbers = sys.argv[1:]
    match verb, [int(number) for number in numbers]:
        case "install", []:
            connection = await asyncpg.connect(url)
            await pgqueuer.Queries.from_asyncpg_connection(connection).install()
            await connection.close()
        case "work", [slots, batch]:
            await pgqueuer.run(lambda: _worker(url), batch_size=batch, max_concurrent_tasks=slots or None)
        case "submit", [jobs, connections]:
            async with asyncpg.create_pool(url, min_size=connections, max_size=connections) as pool:
                queries = pgqueuer.Queries.from_asyncpg_pool(pool)
                await turns.take(lambda: queries.enqueue("nothing", turns.JOB_ID.encode()), jobs, connections)


@asynccontextmanager
async def _worker(url: str) -> AsyncIterator[pgqueuer.PgQueuer]:
    connection = await asyncpg.connect(url)
    worker = pgqueuer.PgQueuer.from_asyncpg_connection(connection)

    @worker.entrypoint("nothing")
    async def nothing(job: pgqueuer.Job) -> None: ...

    yield worker
    await connection.close()


if __name__ == "__main__":
    uvloop.run(main())
