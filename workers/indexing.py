"""The indexes of large collections, made and dropped beside an embedding worker's work."""

import sqlalchemy

from tasks.documents import tending
from workers.worker import Worker

EVERY_S = 30.0


def tend(worker: Worker) -> None:
    """One look. Search works without indexes, more slowly, so what goes wrong is told and tried again."""
    with worker.sessions() as session:
        engine = session.get_bind()
    assert isinstance(engine, sqlalchemy.Engine)
    tending.tend(engine, worker.sessions)
