"""What one API process works with: its settings, PostgreSQL, Redis, the reader of streams, the sender of wake-ups."""

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import structlog
from flask import Flask, current_app, g, has_request_context
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db import session
from db.session import Sessions
from tasks import errors
from tasks.batches.counting import Counting
from tasks.doors.calls import Calls
from tasks.doors.reading import Reader
from tasks.doors.submitting import Desk
from tasks.files.stores import Stores
from tasks.functions.toolbox import Toolbox
from tasks.models.catalog import CONTROL, Catalog
from tasks.models.registry import Models
from tasks.operating import brokers, connections
from tasks.operating.revisions import Watch
from tasks.queues import broker, epochs
from tasks.queues.dispatch import Dispatcher, Refiller
from tasks.queues.window import WakeUp
from tasks.shapes.parent import Shaper
from tasks.streams import stream
from webapi.capacity import Shares, Turns
from webapi.forsaking import Forsaking
from webapi.settings import Settings

log = structlog.get_logger(__name__)

_SEND_LIMIT_S = 0.5
_LOCK_LIMIT_S = 2.0  # then a client is better told to come again
_SEARCHES = 64
_FUNCTIONS = 8  # each in a process of its own
_SHAPING = 3  # schemas read at a time: one tenant alone has two of them, and whoever comes finds the third
_SHAPING_S = 12.0  # for one's turn, while others of the same tenant take the five seconds that each may
_BODIES_ON_THE_WAY = 128
_LARGE_BODIES = 2  # reading JSON is computing: more at a time would only be slower together
_SMALL_BODY_BYTES = 64 * 1024
# Requests of a tenant that wait for their turn, each of which holds a thread.
_LINE = 256
_LARGE_LINE = 16
_PATIENCE_S = 5.0
_SETTLED_SOON_S = 5.0  # as it nearly always is; gunicorn ends a process that takes longer to start than 30
_SETTLE_AGAIN_S = 1.0
_UNSETTLED = "the database may have been put back, and what that changes for its jobs is being seen to; try again"


class Connections:
    """Sessions for requests whose tenants take turns at being worked for, so that none runs the pool dry for others.

    A request that has its turn (`Service.work`) has its connection; one that rests takes a turn for as long as it has a
    session. Outside of requests, and before it is known who asks, there are connections that requests never take.
    """

    def __init__(self, sessions: Sessions, turns: Turns) -> None:
        self._sessions = sessions
        self._turns = turns

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A session that commits at the block's end. Raises like `Turns.take`."""
        resting = has_request_context() and "caller" in g and "working" not in g
        turn = self._turns.held(g.caller.tenant_id, patient=True) if resting else nullcontext()
        with turn, self._sessions.begin() as opened:
            yield opened


class Service:
    """Made once a process; connects when first used. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        shared = settings.shared
        self.settings = settings
        self._models = Models(shared.catalog)
        self.engine = session.open_engine(
            shared.database_url,
            pool_size=connections.of_api(),
            lock_timeout_s=_LOCK_LIMIT_S,
            by_transaction=shared.pooled_by_transaction,
            name=connections.named("api", connections.of_api()),
        )
        sessions = self._sessions = session.open_sessions(self.engine)
        self.tables = Watch(sessions)
        self._turns = Turns(connections.API_REQUESTS, "requests", line=_LINE, patience_s=_PATIENCE_S)
        self.sessions = Connections(sessions, self._turns)
        self.stores = Stores(shared.files, self.sessions)
        self.redis = stream.connect(shared.redis_url, timeout_s=_SEND_LIMIT_S, max_connections=256)
        self._sender = broker.Sender(shared.broker_url, timeout_s=_SEND_LIMIT_S)
        self._refiller = Refiller(Dispatcher(self._sender, sessions, shared.lease_s))
        self._refiller_thread: threading.Thread | None = None
        self._gone = threading.Event()
        self._settled = threading.Event()
        self._settled.set()  # until `begin`
        self.reader = Reader(shared.redis_url, self.sessions, shared.lease_s)
        self._starting = threading.Lock()
        self.desk = Desk(
            self.sessions,
            lease_s=shared.lease_s,
            ttl_s=shared.stream_ttl_s,
            waker=self,
            client=self.redis,
            reader=self.reader,
            announce=self._announce,
            before_waiting=self.rest,
        )
        self.calls = Calls(self.redis)
        self.counting = Counting()
        self.forsaking = Forsaking(self.desk, self.redis)
        self.shaper = Shaper(children=_SHAPING)
        self.shaping = Turns(_SHAPING, "schemas that are read", line=_LINE, patience_s=_SHAPING_S)
        # What holds a thread for long: each of these leaves threads for the rest.
        self.readers = Shares(settings.max_readers, "streams and waits")
        self.searches = Shares(_SEARCHES, "searches")
        self.toolbox = Toolbox(settings.functions, places=_FUNCTIONS)
        self.calling = Shares(_FUNCTIONS, "calls of functions")
        self.receiving = Shares(_BODIES_ON_THE_WAY, "bodies on the way")
        self._large = Turns(_LARGE_BODIES, "large bodies", line=_LARGE_LINE, patience_s=_PATIENCE_S)

    @property
    def catalog(self) -> Catalog:
        """The models that jobs can ask for now. One request asks once, so that it sees one catalogue."""
        return self._models.served()

    @property
    def refiller(self) -> Refiller:
        """Sends wake-ups, soon. Whatever fails, the sweep mends it. Its thread starts with the first use, which is
        after gunicorn's fork."""
        with self._starting:
            if self._refiller_thread is None:
                serve = partial(self._refiller.run, self._gone)
                thread = threading.Thread(target=serve, name="refiller", daemon=True)
                thread.start()
                self._refiller_thread = thread
        return self._refiller

    def work(self) -> None:
        """Waits until this request's tenant may be worked for once more, until `rest`, which the request's end calls.

        So however many requests of one tenant come at once, the others' find few threads that compute. Raises like
        `Turns.take`.
        """
        tenant = g.caller.tenant_id
        self._turns.take(tenant)
        g.working = tenant

    def rest(self, _: BaseException | None = None) -> None:
        """Says that this request waits for something else than our work: others may have its turn. Idempotent."""
        if tenant := g.pop("working", None):
            self._turns.give_back(tenant)

    def take_turn(self, tenant: Hashable, size: int) -> None:
        """Waits until a body of so many bytes may be in memory; it may until `end_turn`, which the request's end calls.

        Raises like `Turns.take`.
        """
        if size > _SMALL_BODY_BYTES:
            self._large.take(tenant)
            g.has_turn = tenant

    def end_turn(self, _: BaseException | None = None) -> None:
        """The request's body is in memory no more, or only as much as is kept of it. Idempotent."""
        if tenant := g.pop("has_turn", None):
            self._large.give_back(tenant)

    def deliver(self, queue: str, wake_up: WakeUp | None) -> None:
        """What the desk has done once a job is committed, best effort. See `Refiller.deliver`."""
        try:
            self.refiller.deliver(queue, wake_up)
        except RuntimeError as error:  # no thread can be started just now; the sweep finds the job
            log.warning("not_delivered", error=str(error))

    def _announce(self, queue: str) -> None:
        """See `Refiller.announce`. On the control worker nobody gives way."""
        if queue != CONTROL and self._refiller_thread:
            self._refiller.announce(queue)

    def begin(self) -> None:
        """To be called once, before the first request. The log is told, soon, where PostgreSQL or Redis aren't set as
        this process needs them.

        Streams in Redis that a restored database doesn't know of aren't read: until that is seen to, which may take
        long, or wait for PostgreSQL or its tables, requests are told to come again.
        """
        self._settled.clear()
        tried = threading.Event()
        threading.Thread(target=self._settle, args=(tried,), name="settle", daemon=True).start()
        threading.Thread(target=self._look_around, name="look", daemon=True).start()
        tried.wait(_SETTLED_SOON_S)

    def _settle(self, tried: threading.Event) -> None:
        while not self._gone.is_set():
            try:
                if self.tables.trouble() is None and epochs.settle(self.sessions, (self.redis,)):
                    self._settled.set()
                    return
            except SQLAlchemyError as error:
                log.warning("epoch_unknown", error=session.told(error))
            except Exception:  # the thread's boundary: without it requests would be refused for ever
                log.exception("not_settled")
            finally:
                tried.set()
            self._gone.wait(_SETTLE_AGAIN_S)

    def trouble(self) -> str | None:
        """Why nothing can be done for requests, in one line; None when it can. Raises SQLAlchemy's errors."""
        return self.tables.trouble() or (None if self._settled.is_set() else _UNSETTLED)

    def require(self) -> None:
        """Raises `Unavailable` where there is `trouble`, and SQLAlchemy's errors. Asks nothing while all is well."""
        self.tables.require()
        if not self._settled.is_set():
            raise errors.Unavailable(_UNSETTLED)

    def _look_around(self) -> None:
        if not self.settings.shared.pooled_by_transaction:
            connections.warn(self._sessions)
        brokers.warn(self.redis)

    def stop(self) -> None:
        """Ends open streams and waits, and lets no more begin. Doesn't wait for them."""
        self.reader.release()

    def close(self) -> None:
        """Gives everything back; for tests, since a process just ends."""
        self._gone.set()
        self.forsaking.stop()
        self.shaper.close()
        if self._refiller_thread:
            self._refiller.wake()
            self._refiller_thread.join()
        self.reader.stop()
        self.toolbox.close()
        self.engine.dispose()
        self.redis.close()
        self._sender.close()


def register(app: Flask) -> None:
    """Has the end of every request give back what it held."""
    app.teardown_request(lambda error: current().end_turn(error))
    app.teardown_request(lambda error: current().rest(error))


def current() -> Service:
    """The service of the app that handles this request."""
    service = current_app.extensions["forebay"]
    assert isinstance(service, Service)
    return service
