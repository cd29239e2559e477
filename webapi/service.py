"""What one API process works with: its settings, PostgreSQL, Redis, the reader of streams, the sender of wake-ups."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from db import session
from tasks import broker, catalog, errors, stream
from tasks.dispatch import Dispatcher
from tasks.reading import Reader
from webapi.settings import Settings

log = structlog.get_logger(__name__)

_POOL_SIZE = 16
_SEND_LIMIT_S = 0.5
_QUIET_AFTER_FAILURE_S = 1.0


class Service:
    """Made once a process; connects when first used. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        shared = settings.shared
        self.settings = settings
        self.catalog = catalog.load(shared.catalog)
        self.engine = session.open_engine(shared.database_url, pool_size=_POOL_SIZE)
        self.sessions = session.open_sessions(self.engine)
        self.redis = stream.connect(shared.redis_url, timeout_s=_SEND_LIMIT_S, max_connections=256)
        sender = broker.sender(shared.broker_url, timeout_s=_SEND_LIMIT_S)
        self._dispatcher = Dispatcher(sender, self.sessions, shared.lease_s)
        self._quiet_until = 0.0
        self._reader = Reader(shared.redis_url, self.sessions, shared.lease_s)
        self._reader_started = False
        self._starting = threading.Lock()
        self._places = threading.BoundedSemaphore(settings.max_readers)

    @property
    def reader(self) -> Reader:
        """Its thread starts with the first use, which is after gunicorn's fork."""
        with self._starting:
            if not self._reader_started:
                self._reader.start()
                self._reader_started = True
        return self._reader

    def refill(self, model: str) -> None:
        """Sends what the model's window has room for. Whatever fails, the sweep mends it; nobody waits for it.

        After a failure it stays quiet for a second, so that a dead broker costs one request its patience and not all.
        """
        if time.monotonic() < self._quiet_until:
            return
        try:
            sent = self._dispatcher.refill(model)
        except SQLAlchemyError as error:
            log.warning("refill_failed", error=type(error).__name__)
            sent = False
        if not sent:
            self._quiet_until = time.monotonic() + _QUIET_AFTER_FAILURE_S

    def take_place(self) -> None:
        """Notes a request that will hold its thread. Raises `Unavailable` when too many do; else `leave_place`."""
        if not self._places.acquire(blocking=False):
            raise errors.Unavailable("too many streams and waits are open in this process; try again")

    def leave_place(self) -> None:
        self._places.release()

    @contextmanager
    def place(self) -> Iterator[None]:
        """`take_place` for as long as the block runs."""
        self.take_place()
        try:
            yield
        finally:
            self.leave_place()

    def stop(self) -> None:
        """Ends open streams and waits, and lets no more begin. Doesn't wait for them."""
        self._reader.release()

    def close(self) -> None:
        """Gives everything back; for tests, since a process just ends."""
        self._reader.release()
        if self._reader_started:
            self._reader.stop()
        self.engine.dispose()
        self.redis.close()


def current() -> Service:
    """The service of the app that handles this request."""
    service = current_app.extensions["forebay"]
    assert isinstance(service, Service)
    return service
