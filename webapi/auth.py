"""Who is asking: a key in, a `Caller` out. Closed by default; the open pages are listed here."""

import hashlib
import time
from functools import partial

from flask import Flask, g, request

from tasks import errors, keys
from tasks.keys import Caller
from webapi.service import Service

# Endpoints that want no key: health, and the page that says how to use the rest.
OPEN = frozenset({"health.healthz", "health.readyz", "api-docs.openapi_json", "swagger_ui.show"})

REMEMBER_S = 2.0
_REMEMBER_KEYS = 10_000


class KnownKeys:
    """Keys found good within the last two seconds, by their digest, so that most requests ask no database.

    Bad keys are never remembered: one that has just been made must work at once.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[float, Caller]] = {}

    def get(self, key: str) -> Caller | None:
        until, caller = self._known.get(_digest(key), (0.0, None))
        return caller if until > time.monotonic() else None

    def put(self, key: str, caller: Caller) -> None:
        if len(self._known) >= _REMEMBER_KEYS:
            self._known.clear()
        self._known[_digest(key)] = (time.monotonic() + REMEMBER_S, caller)


def register(app: Flask, service: Service) -> None:
    app.before_request(partial(_require_key, service, KnownKeys()))


def caller() -> Caller:
    """Who asks in this request."""
    asking = g.caller
    assert isinstance(asking, Caller)
    return asking


def _require_key(service: Service, known: KnownKeys) -> None:
    """Raises `Unauthorized` unless the request has a good key or its page is open. Unknown pages stay 404."""
    if request.endpoint is None or request.endpoint in OPEN:
        return
    header = request.headers.get("Authorization", "")
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer":
        raise errors.Unauthorized("this needs the header Authorization: Bearer fb_…")
    g.caller = _check(service, known, key.strip())


def _check(service: Service, known: KnownKeys, key: str) -> Caller:
    found = known.get(key)
    if found is None:
        with service.sessions.begin() as session:
            found = keys.check(session, pepper=service.settings.key_pepper, key=key)
        if found is None:
            raise errors.Unauthorized("the key is not one of ours, or was revoked")
        known.put(key, found)
    return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
