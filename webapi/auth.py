"""Who is asking: a key in, or a ticket, a `Caller` out. Closed by default; the open pages are listed here."""

import time
from functools import partial

from flask import Flask, g, request

from tasks import errors, ids, keys, tickets
from tasks.keys import Caller, Lock
from webapi.service import Service

# Endpoints that want no key: health, and the page that says how to use the rest.
OPEN = frozenset({"root", "health.healthz", "health.readyz", "api-docs.openapi_json", "swagger_ui.show"})
# The one that takes a ticket instead.
TICKETED = "streams.events"

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
    """Raises `Unauthorized` unless the request has a good key or ticket, or is open to all. Unknown pages stay 404."""
    if request.endpoint is None or request.endpoint in OPEN or _is_preflight(service):
        return
    header = request.headers.get("Authorization", "")
    if not header and "ticket" in request.args:
        g.caller = _admitted(service, known, request.args["ticket"])
        return
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer":
        raise errors.Unauthorized("this needs the header Authorization: Bearer fb_…")
    g.caller = _check(service, known, key.strip())


def _is_preflight(service: Service) -> bool:
    """A browser asks without a key what a page may ask with one; Flask answers that itself, and no view of ours."""
    return request.method == "OPTIONS" and bool(service.settings.cors_origins)


def _admitted(service: Service, known: KnownLocks, ticket: str) -> Caller:
    """Who made the ticket. Raises `TicketRefused` unless it is one for this request."""
    shown = tickets.parse(ticket)
    job_id = ids.parse((request.view_args or {})["job_id"]) if request.endpoint == TICKETED else None
    lock = _lock(service, known, shown.key_id) if shown and job_id else None
    if not (shown and job_id and lock and shown.opens(service.settings.key_pepper, lock.caller, job_id)):
        raise errors.TicketRefused("the ticket is not one for this, or has expired")
    return lock.caller


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
