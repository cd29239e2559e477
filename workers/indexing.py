"""The indexes of large collections, made and dropped beside an embedding worker's work."""

from db import session as db_session
from tasks.documents import tending
from tasks.operating import connections
from workers.worker import Worker

EVERY_S = 30.0


def tend(worker: Worker) -> None:
    """One look. Search works without indexes, more slowly, so what goes wrong is told and tried again."""
    most = connections.of_worker(worker.slots, embeds=True)
    engine = db_session.open_engine(
        worker.settings.shared.direct_url, pool_size=1, name=connections.named(worker.queue, most)
    )
    try:
        tending.tend(engine, worker.sessions)
    finally:
        engine.dispose()
