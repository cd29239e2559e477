"""What a worker does that is started before the database has been migrated."""

from celery.worker import state

from db import session as db_session
from tasks.operating import revisions
from tasks.settings import Settings


def wait(settings: Settings) -> None:
    """Returns once the database's tables are those that this version works with, and says what it waits for.

    A worker that ended instead would have to be started again and again by whoever keeps it, who in time gives up or
    grows slow. Where it is asked to stop meanwhile, the process ends with status 0. Raises `TablesUnfit` where waiting
    doesn't help, and SQLAlchemy's errors.
    """
    engine = db_session.open_engine(settings.database_url, pool_size=1, by_transaction=settings.pooled_by_transaction)
    try:
        revisions.wait(db_session.open_sessions(engine), _stopping)
    finally:
        engine.dispose()
    if _stopping():
        raise SystemExit(0)


def _stopping() -> bool:
    """Whether Celery was told to, by a signal."""
    return state.should_stop is not None or state.should_terminate is not None
