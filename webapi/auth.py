"""Who is asking: a key in, or a ticket, a `Caller` out. Closed by default; the open pages are listed here."""

import time
from collections.abc import Callable
from dataclasses import replace

from flask import Flask, current_app, g, request

from tasks import errors, ids, keys, tickets
from tasks.keys import Caller, KeyCheck
from webapi import requestlog
from webapi.capacity import Turns
from webapi.service import Service, current

# Endpoints that want no key: health, and the page that says how to use the rest.
OPEN = frozenset(
    {
        "root",
        "health.healthz",
        "health.readyz",
        "probe.show",
        "api-docs.openapi_json",
        "swagger_ui.show",
    }
)
# How the header calls what it carries: the second is what Replicate's older clients say.
_SCHEMES = ("bearer", "token")
# The one that takes a ticket instead.
TICKETED = "streams.events"

REMEMBER_S = 2.0
_REMEMBER_KEYS = 10_000
_STRANGERS = 4  # look-ups at a time for ids that this process doesn't know
_STRANGERS_LINE = 64
_STRANGERS_PATIENCE_S = 5.0
_UNKNOWN_S = 0.05  # for so long a look-up that found nothing keeps its place


class KnownKeys:
    """The checks of keys looked up within the last two seconds, by the keys' ids.

    So most requests ask no database: neither those with a good key, nor a flood of wrong secrets for one, nor a flood
    with an unknown key.

    That an id has no key is remembered too. It is safe, since ids are drawn at random: nobody asks for one before its
    key is made. Ids that are new to this process are looked up a few at a time, in turns by address, and slowly where
    there is no such key (docs/adr/0014).
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, KeyCheck]] = {}
        self._unknown: dict[str, float] = {}  # apart, so that no flood of these drives out the others
        self._strangers = Turns(
            _STRANGERS, "requests with unknown keys", line=_STRANGERS_LINE, patience_s=_STRANGERS_PATIENCE_S
        )

    def get(self, key_id: str, address: str, look_up: Callable[[str], KeyCheck | None]) -> KeyCheck | None:
        """The check of the key with this id, or None when there is no such key. Raises like `Turns.take`."""
        until, check = self._known.get(key_id, (0.0, None))
        if check and until > time.monotonic():
            return check
        if self._unknown.get(key_id, 0.0) > time.monotonic():
            return None
        if check:
            return self._remembered(key_id, look_up(key_id))
        with self._strangers.held(address):
            check = self._remembered(key_id, look_up(key_id))
            if check is None:
                time.sleep(_UNKNOWN_S)
            return check

    def _remembered(self, key_id: str, check: KeyCheck | None) -> KeyCheck | None:
        until = time.monotonic() + REMEMBER_S
        for remembered in (self._known, self._unknown):
            if len(remembered) >= _REMEMBER_KEYS:
                remembered.clear()
        if check:
            self._known[key_id] = until, check
        else:
            self._known.pop(key_id, None)
            self._unknown[key_id] = until
        return check


def register(app: Flask) -> None:
    app.before_request(lambda: _require_key(current(), current_app.extensions["forebay_keys"]))


def caller() -> Caller:
    """Who asks in this request."""
    asking = g.caller
    assert isinstance(asking, Caller)
    return asking


def _require_key(service: Service, known: KnownKeys) -> None:
    """Raises `Unauthorized` unless the request has a good key or ticket, or is open to all. Unknown pages stay 404.
    Before that, `Unavailable` where no key could be looked up, or nothing done with it.

    Returns when it is the tenant's turn to be worked for.
    """
    if request.endpoint is None or request.endpoint in OPEN or _is_preflight(service):
        return
    service.require()
    header = request.headers.get("Authorization") or _as_anthropic_says_it()
    if not header and "ticket" in request.args:
        found = _admitted(service, known, request.args["ticket"])
    else:
        scheme, _, key = header.partition(" ")
        if scheme.lower() not in _SCHEMES:
            raise errors.Unauthorized("this needs the header Authorization: Bearer fb_…")
        found = _check(service, known, key.strip())
    g.caller = replace(found, request_id=requestlog.request_id())
    service.work()


def _as_anthropic_says_it() -> str:
    """The header that carries a key, of those who send one in a header of its own."""
    key = request.headers.get("X-Api-Key", "")
    return f"Bearer {key}" if key else ""


def _is_preflight(service: Service) -> bool:
    """A browser asks without a key what a page may ask with one; Flask answers that itself, and no view of ours."""
    return request.method == "OPTIONS" and bool(service.settings.cors_origins)


def _admitted(service: Service, known: KnownKeys, ticket: str) -> Caller:
    """Who made the ticket. Raises `TicketRefused` unless it is one for this request."""
    shown = tickets.parse(ticket)
    job_id = ids.parse((request.view_args or {})["job_id"]) if request.endpoint == TICKETED else None
    check = _looked_up(service, known, shown.key_id) if shown and job_id else None
    if not (shown and job_id and check and shown.opens(service.settings.key_pepper, check.caller, job_id)):
        raise errors.TicketRefused("the ticket is not one for this, or has expired")
    return check.caller


def _check(service: Service, known: KnownKeys, key: str) -> Caller:
    parts = keys.parse(key)
    check = _looked_up(service, known, parts[0]) if parts else None
    found = check.passed(service.settings.key_pepper, parts[1]) if check and parts else None
    if found is None:
        raise errors.Unauthorized("the key is not one of ours, or was revoked")
    return found


def _looked_up(service: Service, known: KnownKeys, key_id: str) -> KeyCheck | None:
    def look_up(key_id: str) -> KeyCheck | None:
        with service.sessions.begin() as session:
            return keys.key_check(session, key_id)

    return known.get(key_id, request.remote_addr or "", look_up)
