"""What one API process works with: its settings, PostgreSQL, Redis, the reader of streams, the sender of wake-ups."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from flask import current_app

from db import session
from tasks import catalog, errors
from tasks.queues import broker
from tasks.queues.dispatch import Dispatcher, Refiller
from tasks.queues.window import Ticket
from tasks.record import Record
from tasks.streams import stream
from tasks.streams.reading import Reader
from webapi.settings import Settings

_POOL_SIZE = 16
_SEND_LIMIT_S = 0.5
_LOCK_LIMIT_S = 2.0  # then a client is better told to come again
_LARGE_BODIES = 4
_SMALL_BODY_BYTES = 1024 * 1024
_ROOM_WAIT_S = 5.0


class Service:
    """Made once a process; connects when first used. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        shared = settings.shared
        self.settings = settings
        models = catalog.load(shared.catalog)
        self.catalog = {name: model for name, model in models.items() if not model.missing}
        self.engine = session.open_engine(shared.database_url, pool_size=_POOL_SIZE, lock_timeout_s=_LOCK_LIMIT_S)
        self.sessions = session.open_sessions(self.engine)
        self.redis = stream.connect(shared.redis_url, timeout_s=_SEND_LIMIT_S, max_connections=256)
        sender = broker.sender(shared.broker_url, timeout_s=_SEND_LIMIT_S)
        self._refiller = Refiller(Dispatcher(sender, self.sessions, shared.lease_s))
        self._refiller_thread: threading.Thread | None = None
        self._gone = threading.Event()
        self._reader = Reader(shared.redis_url, self.sessions, shared.lease_s)
        self._reader_started = False
        self._starting = threading.Lock()
        self._permits = threading.BoundedSemaphore(settings.max_readers)
        self._rooms = threading.BoundedSemaphore(_LARGE_BODIES)

    @property
    def reader(self) -> Reader:
        """Its thread starts with the first use, which is after gunicorn's fork."""
        with self._starting:
            if not self._reader_started:
                self._reader.start()
                self._reader_started = True
        return self._reader

    @property
    def refiller(self) -> Refiller:
        """Sends wake-ups, soon. Whatever fails, the sweep mends it. Its thread starts like the reader's."""
        with self._starting:
            if self._refiller_thread is None:
                serve = partial(self._refiller.run, self._gone)
                self._refiller_thread = threading.Thread(target=serve, name="refiller", daemon=True)
                self._refiller_thread.start()
        return self._refiller

    def take_permit(self) -> None:
        """Notes a request that will hold its thread. Raises `Unavailable` when too many do; else `return_permit`."""
        if not self._permits.acquire(blocking=False):
            raise errors.Unavailable("too many streams and waits are open in this process; try again")

    def return_permit(self) -> None:
        self._permits.release()

    @contextmanager
    def permit(self) -> Iterator[None]:
        """`take_permit` for as long as the block runs."""
        self.take_permit()
        try:
            yield
        finally:
            self.return_permit()

    @contextmanager
    def room_for(self, size: int) -> Iterator[None]:
        """Has few requests at a time hold a body of many bytes in memory. Raises `Unavailable` when it takes long."""
        if size <= _SMALL_BODY_BYTES:
            yield
            return
        if not self._rooms.acquire(timeout=_ROOM_WAIT_S):
            raise errors.Unavailable("too many large bodies are being read in this process; try again")
        try:
            yield
        finally:
            self._rooms.release()

    def wake(self, accepted: Record, ticket: Ticket | None) -> None:
        """What follows the commit of a job: its wake-up, now or as soon as the window has room."""
        if ticket:
            self.refiller.send(ticket)
        else:
            self.refiller.ask(accepted.queue)

    def stop(self) -> None:
        """Ends open streams and waits, and lets no more begin. Doesn't wait for them."""
        self._reader.release()

    def close(self) -> None:
        """Gives everything back; for tests, since a process just ends."""
        self._gone.set()
        if self._refiller_thread:
            self._refiller.wake()
            self._refiller_thread.join()
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
