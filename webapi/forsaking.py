"""Ends the jobs of calls whose clients are gone and haven't come back."""

import threading
import time
from dataclasses import dataclass, field

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.session import told
from tasks import errors
from tasks.doors import calls
from tasks.doors.submitting import Desk
from tasks.keys import Caller

log = structlog.get_logger(__name__)

_EVERY_S = 1.0
_AT_ONCE = 100
_WATCH_S = calls.LEASE_S + calls.GRACE_S + 10  # so long after the last call there may be one to end


@dataclass(slots=True)
class Forsaking:
    """Looks once a second, while this process has had calls lately; also for those of processes that have died.

    Its thread starts with the first call, which is after gunicorn's fork.
    """

    desk: Desk
    client: redis.Redis
    _until: float = 0.0
    _gone: threading.Event = field(default_factory=threading.Event)
    _called: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _starting: threading.Lock = field(default_factory=threading.Lock)

    def watch(self) -> None:
        """Says that there is a call now."""
        self._until = time.monotonic() + _WATCH_S
        self._called.set()
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="forsaking", daemon=True)
                    self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and waits for it. For tests, since a process just ends."""
        self._gone.set()
        self._called.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._gone.is_set():
            self._called.wait()
            self.end_forsaken()
            if time.monotonic() > self._until:
                self._called.clear()
                if time.monotonic() <= self._until:  # a call came in between
                    self._called.set()
            self._gone.wait(_EVERY_S)

    def end_forsaken(self) -> None:
        """Ends what nobody waits for any more. Best effort: what isn't ended only costs its tokens."""
        try:
            found = calls.forsaken(self.client, _AT_ONCE)
        except redis.RedisError as error:
            log.warning("redis_unreachable", error=str(error))
            return
        for tenant_id, job_id in found:
            try:
                self.desk.cancel(Caller(tenant_id, ""), job_id)
            except (SQLAlchemyError, errors.ForebayError) as error:
                log.warning("not_forsaken", error=told(error))
