"""Forms that bring a file: what is said of it is read, and its bytes go to where they are kept as they come."""

import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from flask import request
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.sansio.multipart import File

from tasks.errors import InvalidField, LimitReached
from tasks.files import keeping
from tasks.files.keeping import Part, Room
from webapi import auth, body, multipart, service
from webapi.body import Limits

_FORM_BYTES = 64 * 1024  # for what stands around the file

LIMITS = Limits(lambda own: own.max_file_bytes + _FORM_BYTES, values=0)

# What is said of a file, what it is called, and its bytes: or why they were heard and not kept.
Received = tuple[dict[str, Any], str, Part | LimitReached]


class Understood(Protocol):
    """What a form's texts mean; `partial` where more may come. Raises `InvalidField`."""

    def __call__(self, texts: dict[str, str], *, partial: bool) -> dict[str, Any]: ...


def _nothing(texts: dict[str, str], *, partial: bool) -> dict[str, Any]:  # noqa: ARG001
    """Of a form that has no texts."""
    return {}


@contextmanager
def received(
    field: str,
    texts: Collection[str] = (),
    understood: Understood = _nothing,
    upload_id: uuid.UUID | None = None,
    heard: Callable[[bytes], None] | None = None,
) -> Iterator[Received]:
    """The file in the form's `field`, its bytes kept; the block is to make something of them, or they are erased again.

    Each piece of the bytes is told to whoever has `heard` them as they came: also where there is no room to keep them,
    since they may be known.

    What is `understood` of the form's `texts` that come before the file is known before its first byte is kept. Raises
    `Malformed`, `InvalidField`, `LimitReached`, and werkzeug's errors for the body's type (415) and size (413).
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("the body must be multipart/form-data")
    said: dict[str, str] = {}
    file: tuple[str, Part | LimitReached] | None = None
    with ExitStack() as stack:
        stream = stack.enter_context(body.streamed(request))
        boundary = request.mimetype_params.get("boundary", "")
        for part, pieces in multipart.parts(stream, boundary, texts=texts, files=field):
            if not isinstance(part, File):
                multipart.note(said, part, pieces)
                continue
            if file is not None:
                raise InvalidField(field, "one file at a time")
            name = multipart.base_name(part.filename, field)
            understood(said, partial=True)
            come = _overheard(pieces, heard) if heard else pieces
            kept = keeping.kept(service.current().stores, auth.caller().tenant_id, come, _room(field), upload_id)
            try:
                file = name, stack.enter_context(kept)
            except LimitReached as refused:
                if heard is None:
                    raise
                deque(come, maxlen=0)
                file = name, refused
        given = understood(said, partial=False)
        if file is None:
            raise InvalidField(field, "Missing data for required field.")
        yield given, *file


def there(part: Part | LimitReached) -> Part:
    """The bytes. Raises `LimitReached` where they weren't kept."""
    if isinstance(part, LimitReached):
        raise part
    return part


def _overheard(pieces: Iterable[bytes], heard: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        heard(piece)
        yield piece


def _room(field: str) -> Room:
    own, length = service.current().settings, request.content_length
    return Room(field, own.max_file_bytes if length is None else length, own.max_kept_file_bytes)
