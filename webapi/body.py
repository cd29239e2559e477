"""Request bodies: bounded while they come, then read as one plain JSON object."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from flask import Request, g, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from dialects import plainjson
from tasks.errors import InvalidField, Malformed
from webapi import auth, service
from webapi.settings import Settings

_MEMORY_BYTES = 64 * 1024
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What the bodies of one route may have: so many bytes, by the settings, and so many values where they are JSON.

    `any_type` reads JSON whatever the header says that it is: some dialects' clients say nothing, or what curl says.
    """

    bytes: Callable[[Settings], int]
    values: int
    any_type: bool = False

    def impose(self) -> None:
        """Bounds the body of the request that is handled now."""
        request.max_content_length = self.bytes(service.current().settings)
        g.limits = self


_NOTHING = Limits(lambda _: _MEMORY_BYTES, values=1000)
_EMPTY = (b"", b"null", b"[]")  # what clients in .NET and PHP make of no parameters


def imposed() -> Limits:
    """The limits of the request that is handled now."""
    limits = g.limits
    assert isinstance(limits, Limits)
    return limits


def read(request: Request) -> dict[str, Any]:
    """The request's JSON object. Raises `Malformed`, and werkzeug's errors for its type (415) and size (413)."""
    if not imposed().any_type and not is_json(request):
        raise UnsupportedMediaType("the body must be application/json in UTF-8")
    with spooled(request) as spool:
        return plainjson.parse(spool.read(), imposed().values)


def refuse_fields(request: Request) -> None:
    """For a route that takes nothing: raises `InvalidField` for the first field of what was sent all the same, and like
    `read`. Nothing is an empty body or an empty object, and what some clients send for it: see `_EMPTY`."""
    if not request.content_length and "Transfer-Encoding" not in request.headers:
        return
    _NOTHING.impose()
    with spooled(request) as spool:
        raw = spool.read()
    for name in plainjson.parse(raw, _NOTHING.values) if raw.strip() not in _EMPTY else ():
        raise InvalidField(plainjson.shown(name), "Unknown field.")


def is_json(request: Request) -> bool:
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    return request.mimetype == "application/json" and charset in ("utf-8", "utf8")


@contextmanager
def spooled(request: Request) -> Iterator[IO[bytes]]:
    """The whole body, from its start; on the disk while it comes, if it is large, however long its client takes.

    A large one then waits for its turn, by tenant, before anything is made of it.

    Raises `Malformed` for damaged chunks, werkzeug's errors for its size (413) and its coding (415), and `ShareUsedUp`
    or `Unavailable` for too many at a time.
    """
    _refuse_coded(request)
    serving, tenant = service.current(), auth.caller().tenant_id
    with tempfile.SpooledTemporaryFile(_MEMORY_BYTES) as spool:
        serving.rest()
        with serving.receiving.held(tenant):
            _receive(request, spool)
        serving.take_turn(tenant, spool.tell())
        serving.work()
        spool.seek(0)
        yield spool


@contextmanager
def streamed(request: Request) -> Iterator["Incoming"]:
    """The body as it comes: nothing of it is kept here, and no connection of ours waits for it. Raises, and reading it
    does, like `spooled`."""
    _refuse_coded(request)
    serving = service.current()
    serving.rest()
    with serving.receiving.held(auth.caller().tenant_id):
        yield Incoming(request)


class Incoming:
    """The bytes that come, up to the limit of the route."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._come = 0

    def read(self, size: int, /) -> bytes:
        """At most so many, none at the end. Raises `Malformed` for damaged chunks, `RequestEntityTooLarge`."""
        request, limit = self._request, self._request.max_content_length
        try:
            piece = request.stream.read(size)
        except ParseException as error:
            raise Malformed(None, "the body's chunks are damaged") from error
        self._come += len(piece)
        # werkzeug cuts a chunked body off at the limit, without a word.
        if request.content_length is None and limit is not None and self._come >= limit:
            raise RequestEntityTooLarge
        return piece


def _refuse_coded(request: Request) -> None:
    if request.content_encoding not in (None, "", "identity"):
        raise UnsupportedMediaType("the body must come without a Content-Encoding")


def _receive(request: Request, spool: IO[bytes]) -> None:
    incoming = Incoming(request)
    while piece := incoming.read(_PIECE_BYTES):
        spool.write(piece)
