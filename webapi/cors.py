"""Which other origins' pages may read our answers: the CORS protocol (WHATWG Fetch, section 3.3), without cookies."""

from collections.abc import Collection
from functools import partial

from flask import Flask, Response, request
from werkzeug.datastructures import HeaderSet

from webapi import requestlog

ANY = "*"
_SENDABLE = HeaderSet(
    ["Authorization", "Content-Type", "Last-Event-ID", "Idempotency-Key", "Prefer", requestlog.HEADER]
)
_READABLE = HeaderSet(["Location", "Retry-After", "Idempotency-Replayed", "Preference-Applied", requestlog.HEADER])
_REMEMBER_S = 600  # for so long a browser doesn't ask again


def register(app: Flask, origins: Collection[str]) -> None:
    """Lets pages of these origins (`https://app.example.com`, or `ANY`) read all answers, errors too. Without origins
    it does nothing."""
    if origins:
        app.after_request(partial(_mark, origins))


def _mark(origins: Collection[str], response: Response) -> Response:
    response.vary.add("Origin")
    if ANY in origins:
        response.access_control_allow_origin = ANY
    elif request.origin in origins:
        response.access_control_allow_origin = request.origin
    else:
        return response
    response.access_control_expose_headers = _READABLE
    if request.method == "OPTIONS":
        response.access_control_allow_methods = response.allow
        response.access_control_allow_headers = _SENDABLE
        response.access_control_max_age = _REMEMBER_S
    return response
