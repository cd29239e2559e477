"""How a worker logs: one line an event on stderr, through the standard library so that Celery's lines join in."""

import logging

import structlog

from tasks import logs

_QUIET = ("celery.app.trace", "celery.worker.strategy", "alembic", "kombu")


def configure() -> None:
    """Sets structlog and the root logger up. Idempotent."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(logs.keep_on()),
        cache_logger_on_first_use=True,
    )
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
