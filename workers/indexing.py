"""The index of vectors that a worker's model gives: made once, beside its work."""

import sqlalchemy
import structlog
from sqlalchemy.exc import SQLAlchemyError

from tasks import errors
from tasks.documents import ranking
from workers.worker import Worker

log = structlog.get_logger(__name__)


def ensure(worker: Worker) -> None:
    """Sees to it that vectors as long as the model's can be found by an index. Search works without it, more slowly."""
    batcher = worker.slot().batcher
    try:
        dimensions = batcher.embed(batcher.tokenize([""]), lambda: None).shape[1]
        with worker.sessions() as session:
            engine = session.get_bind()
        assert isinstance(engine, sqlalchemy.Engine)
        ranking.ensure_index(engine, dimensions)
    except (SQLAlchemyError, errors.ForebayError) as error:
        log.warning("not_indexed", error=str(error))
