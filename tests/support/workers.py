"""Workers without a process of their own: on real PostgreSQL and Redis, with an echo engine unless told otherwise."""

from pathlib import Path
from typing import Any

import redis

from db.session import Sessions
from tasks.models import catalog
from tasks.models.engine import Engine
from tasks.queues.dispatch import Dispatcher
from tasks.settings import Settings
from tasks.sweep.sweeper import Sweeper
from tests import tables
from workers import heartbeat
from workers.engines.echo import Echo
from workers.settings import WorkerSettings
from workers.worker import Worker


def made(
    id: str,
    model: str,
    sessions: Sessions,
    upkeep: Sessions,
    client: redis.Redis,
    shared: Settings,
    post: Any,
    engine: Engine | None,
    identity: str | None = None,
) -> Worker:
    """A worker that has beaten once; `post` is what its wake-ups are sent by. Close it."""
    dispatcher = Dispatcher(post, sessions, shared.lease_s)
    worker = Worker(
        id=id,
        queue=model,
        slots=2,
        embeds=model in ("embedder", "other", "third"),
        reranks=model == "reranker",
        identity=identity,
        engine=None if model == catalog.CONTROL else engine or Echo(model, slots=2, context=64),
        settings=WorkerSettings(shared, threads=1, heartbeat_s=0.05, sweep_s=1, grace_s=0.1, stall_s=60),
        sessions=sessions,
        client=client,
        upkeep=upkeep,
        dispatcher=dispatcher,
        sweeper=Sweeper(dispatcher, upkeep, client, client, shared.lease_s, shared.stream_ttl_s, every_s=0),
    )
    heartbeat.beat(worker)
    return worker


def settings(
    postgres_url: str, redis_url: str, models: Path = Path("none"), lease_s: float = tables.LEASE_S
) -> Settings:
    return Settings(postgres_url, redis_url, redis_url, models, lease_s, stream_ttl_s=60)


def close(worker: Worker) -> None:
    worker.gone.set()
    worker.close()
