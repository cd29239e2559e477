"""Who is asking: a key in, a `Caller` out. Closed by default; the open pages are listed here."""

import time
from functools import partial

from flask import Flask, g, request

from tasks import errors, keys
from tasks.keys import Caller, Lock
from webapi.service import Service

# Endpoints that want no key: health, and the page that says how to use the rest.
OPEN = frozenset({"health.healthz", "health.readyz", "api-docs.openapi_json", "swagger_ui.show"})

REMEMBER_S = 2.0
_REMEMBER_KEYS = 10_000


class KnownLocks:
    """Locks looked up within the last two seconds, by the ids of their keys, so that most requests ask no database:
    neither those with a good key, nor a flood of wrong secrets for it.

    That there is no key of an id is never remembered: one that has just been made must work at once.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Lock]] = {}

    def get(self, key_id: str) -> Lock | None:
        until, lock = self._known.get(key_id, (0.0, None))
        return lock if until > time.monotonic() else None

    def put(self, key_id: str, lock: Lock) -> None:
        if len(self._known) >= _REMEMBER_KEYS:
            self._known.clear()
        self._known[key_id] = (time.monotonic() + REMEMBER_S, lock)


def register(app: Flask, service: Service) -> None:
    app.before_request(partial(_require_key, service, KnownLocks()))


def caller() -> Caller:
    """Who asks in this request."""
    asking = g.caller
    assert isinstance(asking, Caller)
    return asking


def _require_key(service: Service, known: KnownLocks) -> None:
    """Raises `Unauthorized` unless the request has a good key or its page is open. Unknown pages stay 404."""
    if request.endpoint is None or request.endpoint in OPEN:
        return
    header = request.headers.get("Authorization", "")
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer":
        raise errors.Unauthorized("this needs the header Authorization: Bearer fb_…")
    g.caller = _check(service, known, key.strip())


def _check(service: Service, known: KnownLocks, key: str) -> Caller:
    parts = keys.parse(key)
    lock = _lock(service, known, parts[0]) if parts else None
    found = lock.open(service.settings.key_pepper, parts[1]) if lock and parts else None
    if found is None:
        raise errors.Unauthorized("the key is not one of ours, or was revoked")
    return found


def _lock(service: Service, known: KnownLocks, key_id: str) -> Lock | None:
    lock = known.get(key_id)
    if lock is None:
        with service.sessions.begin() as session:
            lock = keys.lock(session, key_id)
        if lock:
            known.put(key_id, lock)
    return lock
