"""Bodies of many requests: each is checked as it comes, and kept as a line of a file of the tenant's."""

import hashlib
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from flask import request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import UnsupportedMediaType

from dialects.anthropic.requests import batches as requests
from dialects.anthropic.requests.batches import Requests
from tasks.batches import batches
from tasks.batches.lines import MAX_LINES
from tasks.errors import ForebayError, InvalidField, LimitReached
from tasks.files import files, keeping
from tasks.files.files import FileView, Wish
from tasks.files.keeping import Room
from tasks.models import choosing
from webapi import auth, body, service
from webapi.body import Incoming, Limits

LIMITS = Limits(lambda own: own.max_file_bytes, values=0)

_PIECE_BYTES = 64 * 1024
_MORE_BYTES = 64 * MAX_LINES  # that lines have more than the requests in them
_NAME = "requests.jsonl"


@dataclass(frozen=True, slots=True)
class Received:
    """The file that was made, or why there was no room for it; how many lines came, and a digest of them."""

    file: FileView | LimitReached
    lines: int
    digest: str

    def file_id(self) -> uuid.UUID:
        """Raises `LimitReached` where there was no room for the file."""
        if isinstance(self.file, LimitReached):
            raise self.file
        return self.file.id


@contextmanager
def received(*, may_be_known: bool) -> Iterator[Received]:
    """The file of the requests in the body; deleted again where no batch is of it after the block. Of a body that may
    be known by its key the requests are read also where there is no room for their file.

    Raises `Malformed` and `InvalidField` for the first request that is wrong, `LimitReached` for a body that can't be
    known, and werkzeug's errors for its type (415) and size (413).
    """
    if not body.is_json(request):
        raise UnsupportedMediaType("the body must be application/json in UTF-8")
    taken, digest = Requests(), hashlib.sha256()
    with body.streamed(request) as incoming:
        lines = _lines(incoming, taken, digest)
        try:
            file: FileView | LimitReached = _kept(lines)
        except LimitReached as refused:
            if not may_be_known:
                raise
            deque(lines, maxlen=0)
            file = refused
    try:
        yield Received(file, len(taken.names), digest.hexdigest())
    finally:
        if isinstance(file, FileView):
            with suppress(SQLAlchemyError, ForebayError):  # it expires then
                _delete_unused(file.id)


def _kept(lines: Iterator[bytes]) -> FileView:
    """The file of the lines. Raises `LimitReached` before any of them is read."""
    serving, caller = service.current(), auth.caller()
    kept = keeping.kept(serving.stores, caller.tenant_id, lines, _room())
    with kept as part, serving.sessions.begin() as session:
        return files.add(session, caller, part, Wish(_NAME, "batch"))


def _delete_unused(file_id: uuid.UUID) -> None:
    """Also where the block failed a batch may have been made: its commit's answer was lost."""
    serving, caller = service.current(), auth.caller()
    with serving.sessions.begin() as session:
        is_used = batches.has_any(session, caller, file_id)
    if not is_used:
        files.delete(serving.stores, caller, file_id)


def _lines(incoming: Incoming, taken: Requests, digest: "hashlib._Hash") -> Iterator[bytes]:
    """The lines, piece by piece, which go into the digest. What a piece holds is read while it is the tenant's turn to
    be worked for: while the next is waited for, others are."""
    serving = service.current()
    while piece := incoming.read(_PIECE_BYTES):
        serving.work()
        try:
            lines = b"".join(_read(taken, piece))
        finally:
            serving.rest()
        if lines:
            digest.update(lines)
            yield lines
    taken.finish()


def _read(taken: Requests, piece: bytes) -> Iterator[bytes]:
    models = service.current().catalog
    for asked, line in taken.feed(piece):
        try:
            choosing.model_for(models, asked.type, asked.model)
        except InvalidField as error:
            raise requests.within_request(error, len(taken.names) - 1) from error
        yield line


def _room() -> Room:
    own, length = service.current().settings, request.content_length
    expected = own.max_file_bytes if length is None else length
    return Room("requests", expected + _MORE_BYTES, own.max_kept_file_bytes)
