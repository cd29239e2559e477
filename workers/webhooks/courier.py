"""The courier: a thread of the control worker that sends what is due, several deliveries at once."""

import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.session import Sessions, told
from tasks import errors, ids, telemetry
from tasks.settings import WebhookSettings
from tasks.telemetry import DeliverySent
from tasks.webhooks import deliveries, destinations, signing
from tasks.webhooks.deliveries import Answer, Parcel
from workers.webhooks import outbound

log = structlog.get_logger(__name__)

AT_ONCE = 32
PER_TARGET = 4
PER_TENANT = 8
# Longer than an attempt takes: who let it run out died, or its resolver hung. Then another sends the same again.
LEASE_S = 30.0
_LOOK_S = 1.0
_TIDY_S = 60.0
_TIDIED_AT_ONCE = 500  # so that no statement takes long


class Courier:
    """Safe to run in any number of processes. Needs PostgreSQL only."""

    def __init__(self, sessions: Sessions, settings: WebhookSettings, limit_s: float = outbound.LIMIT_S) -> None:
        self._sessions, self._settings, self._limit_s = sessions, settings, limit_s
        self._client = outbound.client(settings.policy)
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._out: set[threading.Thread] = set()
        self._tidy_at = 0.0

    def round(self) -> None:
        """Sends off what is due, waits until there may be more, and tidies at times. Raises SQLAlchemy's errors."""
        self._wake.clear()
        if not self.send_due():
            self._wake.wait(_LOOK_S)
        if time.monotonic() >= self._tidy_at:
            self.tidy()

    def send_due(self) -> int:
        """Takes what is due as far as hands are free, and begins to send it. How many it took."""
        with self._lock:
            free = AT_ONCE - len(self._out)
        if free == 0:
            return 0
        with self._sessions.begin() as session:
            if not deliveries.any_due(session):
                return 0
            parcels = deliveries.take(
                session, limit=free, per_target=PER_TARGET, per_tenant=PER_TENANT, lease_s=LEASE_S
            )
        for parcel in parcels:
            thread = threading.Thread(target=self._carry, args=(parcel,), name="delivery", daemon=True)
            with self._lock:
                thread.start()
                self._out.add(thread)
        return len(parcels)

    def tidy(self) -> None:
        """Removes some of what nobody is to see any more; the next round goes on with it where there may be more."""
        self._tidy_at = time.monotonic() + _TIDY_S
        with self._sessions.begin() as session:
            removed = deliveries.tidy(session, _TIDIED_AT_ONCE)
        if removed:
            self._tidy_at = 0.0

    def finish(self, limit_s: float) -> None:
        """Waits for what is under way, up to so long; the rest is sent again when its lease has run out."""
        deadline = time.monotonic() + limit_s
        with self._lock:
            out = list(self._out)
        for thread in out:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _carry(self, parcel: Parcel) -> None:
        try:
            answer = self._attempt(parcel)
            with self._sessions.begin() as session:
                deliveries.record_answer(session, parcel, answer)
            telemetry.emit(DeliverySent(parcel.id, answer.status, answer.error))
        except SQLAlchemyError as error:
            log.warning("not_marked", delivery=ids.show(parcel.id, ids.DELIVERY), error=told(error))
        finally:
            with self._lock:
                self._out.discard(threading.current_thread())
            self._wake.set()

    def _attempt(self, parcel: Parcel) -> Answer:
        try:
            return self._send(parcel)
        except Exception:  # the thread's boundary: what nobody foresaw costs one attempt
            log.exception("not_sent", delivery=ids.show(parcel.id, ids.DELIVERY))
            return Answer(error=deliveries.INTERNAL)

    def _send(self, parcel: Parcel) -> Answer:
        if parcel.url is None:
            return Answer(error=deliveries.DISABLED)
        try:
            destination = destinations.parse(parcel.url, self._settings.policy)
        except errors.InvalidField:
            return Answer(error="url_refused")  # the settings are stricter than when it was accepted
        body = parcel.payload.encode()
        signature = signing.signed(self._settings.key, parcel.secret_ids, parcel.message_id, int(time.time()), body)
        headers = {"Content-Type": "application/json", **signature}
        return outbound.post(destination, headers, body, self._client, self._limit_s)
