"""Who is asking: a key in, or a ticket, a `Caller` out. Closed by default; the open pages are listed here."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from flask import Flask, g, request

from tasks import errors, ids, keys, tickets
from tasks.keys import Caller, Lock
from webapi import requestlog
from webapi.capacity import Turns
from webapi.service import Service

# Endpoints that want no key: health, and the page that says how to use the rest.
OPEN = frozenset({"root", "health.healthz", "health.readyz", "api-docs.openapi_json", "swagger_ui.show"})
# The one that takes a ticket instead.
TICKETED = "streams.events"

REMEMBER_S = 2.0
_REMEMBER_KEYS = 10_000
_STRANGERS = 4  # look-ups at a time for ids that this process doesn't know
_STRANGERS_LINE = 64
_STRANGERS_PATIENCE_S = 5.0
_UNKNOWN_S = 0.05  # for so long a look-up that found nothing keeps its place


class KnownLocks:
    """Locks looked up within the last two seconds, by the ids of their keys, so that most requests ask no database:
    neither those with a good key, nor a flood of wrong secrets for it, nor one of the same unknown key.

    That there is no key of an id may be remembered too, since ids are drawn at random: nobody asks for one before the
    key is made. Ids that this process hasn't known yet are looked up a few at a time, in turns by address, and slowly
    where there is no such key.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Lock]] = {}
        self._unknown: dict[str, float] = {}  # apart, so that no flood of these drives out the others
        self._strangers = Turns(
            _STRANGERS, "requests with unknown keys", line=_STRANGERS_LINE, patience_s=_STRANGERS_PATIENCE_S
        )

    def get(self, key_id: str, address: str, look_up: Callable[[str], Lock | None]) -> Lock | None:
        """The lock of the key with this id, or None when there is none. Raises like `Turns.take`."""
        until, lock = self._known.get(key_id, (0.0, None))
        if lock and until > time.monotonic():
            return lock
        if self._unknown.get(key_id, 0.0) > time.monotonic():
            return None
        if lock:
            return self._remembered(key_id, look_up(key_id))
        with self._strangers.held(address):
            lock = self._remembered(key_id, look_up(key_id))
            if lock is None:
                time.sleep(_UNKNOWN_S)
            return lock

    def _remembered(self, key_id: str, lock: Lock | None) -> Lock | None:
        until = time.monotonic() + REMEMBER_S
        for remembered in (self._known, self._unknown):
            if len(remembered) >= _REMEMBER_KEYS:
                remembered.clear()
        if lock:
            self._known[key_id] = until, lock
        else:
            self._known.pop(key_id, None)
            self._unknown[key_id] = until
        return lock


def register(app: Flask, service: Service) -> None:
    app.before_request(partial(_require_key, service, KnownLocks()))


def caller() -> Caller:
    """Who asks in this request."""
    asking = g.caller
    assert isinstance(asking, Caller)
    return asking


def _require_key(service: Service, known: KnownLocks) -> None:
    """Raises `Unauthorized` unless the request has a good key or ticket, or is open to all. Unknown pages stay 404.

    Returns when it is the tenant's turn to be worked for.
    """
    if request.endpoint is None or request.endpoint in OPEN or _is_preflight(service):
        return
    header = request.headers.get("Authorization", "")
    if not header and "ticket" in request.args:
        found = _admitted(service, known, request.args["ticket"])
    else:
        scheme, _, key = header.partition(" ")
        if scheme.lower() != "bearer":
            raise errors.Unauthorized("this needs the header Authorization: Bearer fb_…")
        found = _check(service, known, key.strip())
    g.caller = replace(found, request_id=requestlog.request_id())
    service.work()


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
    def look_up(key_id: str) -> Lock | None:
        with service.sessions.begin() as session:
            return keys.lock(session, key_id)

    return known.get(key_id, request.remote_addr or "", look_up)
