"""Bytes kept as they come, read by ranges, and erased; whatever is left over of what was cut off is erased later."""

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.files import parts
from db.files.parts import FilePart
from db.scope import scope
from db.session import Transactions, told
from tasks import errors, failpoints, ids
from tasks.files.store import PIECE_BYTES
from tasks.files.stores import Stores

log = structlog.get_logger(__name__)

SILENT_S = 600.0  # a part whose writer has said nothing for so long is left over
_TOUCH_S = 20.0
_SOON_S = 1.0  # so long a request erases, and no longer than the last part takes


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that are kept: where, and how many."""

    id: uuid.UUID
    store: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Room:
    """How much may come: so many bytes at most now, of so many that the tenant may keep in all. `field` is what an
    error names."""

    field: str
    expected: int
    most: int


@contextmanager
def kept(
    stores: Stores, tenant_id: uuid.UUID, chunks: Iterable[bytes], room: Room, upload_id: uuid.UUID | None = None
) -> Iterator[Part]:
    """Writes the bytes as they come; the block is to `parts.finish` the part, or else it is erased again.

    No transaction is open while the bytes are waited for. Raises `LimitReached` before any is read, `Unavailable`.
    """
    part_id, store = ids.new(), stores.current
    row = FilePart(
        id=part_id, tenant_id=tenant_id, store=store.name, bytes=room.expected, upload_id=upload_id, whole=False
    )
    with stores.transactions.begin() as session, scope(session, tenant_id):
        parts.reserve(session, row)
    try:
        _refuse_too_much(stores.transactions, tenant_id, room)
        yield Part(part_id, store.name, _write(stores, tenant_id, part_id, chunks))
    except BaseException as error:
        with suppress(errors.ForebayError, SQLAlchemyError):  # a chore does it then
            _give_up(stores, tenant_id, Part(part_id, store.name, room.expected), isinstance(error, _Unanswered))
        raise


def read(stores: Stores, tenant_id: uuid.UUID, whole: Sequence[Part], start: int, end: int) -> Iterator[bytes]:
    """The bytes of these parts, one after the other, from `start` on and before `end`, a piece at a time.

    Raises `Unavailable` where some can't be had now, `BytesGone` where the file was deleted meanwhile, or the store has
    lost them.
    """
    if sum(part.bytes for part in whole) < end:
        log.warning("parts_missing", parts=[part.id.hex for part in whole])
        raise errors.BytesGone("some of the file's bytes are gone")
    before = 0
    for part in whole:
        first, last = max(start - before, 0), min(end - before, part.bytes)
        for number in range(first // PIECE_BYTES, -(-last // PIECE_BYTES) if first < last else 0):
            begins = number * PIECE_BYTES
            wanted = max(first - begins, 0), min(last - begins, PIECE_BYTES)
            piece = stores.of(part.store).get(tenant_id, part.id, number, *wanted)
            if len(piece) != wanted[1] - wanted[0]:
                log.warning("bytes_missing", part=part.id.hex, number=number)
                raise errors.BytesGone("some of the file's bytes are gone")
            yield piece
        before += part.bytes


def erase(stores: Stores, tenant_id: uuid.UUID, left: Part) -> None:
    """Erases a part that is left over, and then what is noted of it. Idempotent.

    Raises what the store does, and `Unavailable` where the settings don't name it.
    """
    failpoints.passed("files.before_erasing")
    stores.of(left.store).discard(tenant_id, left.id)
    with stores.transactions.begin() as session, scope(session, tenant_id):
        parts.forget(session, tenant_id, left.id)


def erase_soon(stores: Stores, tenant_id: uuid.UUID, left: Sequence[Part]) -> None:
    """Erases now what can be erased in a moment; a chore does the rest."""
    until = time.monotonic() + _SOON_S
    try:
        for part in left:
            erase(stores, tenant_id, part)
            if time.monotonic() > until:
                return
    except (errors.ForebayError, SQLAlchemyError) as error:
        log.warning("not_erased_yet", error=told(error))


def forsake(stores: Stores, tenant_id: uuid.UUID, part: Part) -> None:
    """Erases a part of which nothing is to be made after all; where that can't be now, a chore does it."""
    with suppress(errors.ForebayError, SQLAlchemyError):
        _give_up(stores, tenant_id, part, unanswered=False)


class _Unanswered(errors.Unavailable):
    """Whether the store has the last piece isn't known: it may come to have it yet."""


def _give_up(stores: Stores, tenant_id: uuid.UUID, part: Part, unanswered: bool) -> None:
    """Erases what was written, also where the part's row is gone: nobody else would know of it. Of one whose last piece
    is `unanswered` the row stays, and a chore erases it again in `SILENT_S`."""
    with stores.transactions.begin() as session, scope(session, tenant_id):
        to_be_erased = parts.give_up(session, tenant_id, part.id)
    if to_be_erased and unanswered:
        stores.of(part.store).discard(tenant_id, part.id)
    elif to_be_erased:
        erase(stores, tenant_id, part)


def parts_of(rows: Iterable[FilePart]) -> list[Part]:
    return [_part(row) for row in rows]


def _part(row: FilePart) -> Part:
    return Part(row.id, row.store, row.bytes)


def _refuse_too_much(transactions: Transactions, tenant_id: uuid.UUID, room: Room) -> None:
    """Once its own bytes are noted: of two that come at once, each sees the other's."""
    with transactions.begin() as session, scope(session, tenant_id):
        total = parts.kept_bytes(session, tenant_id)
    if total > room.most:
        raise too_much(room.field, total - room.expected, room.most)


def too_much(field: str, there: int, most: int) -> errors.LimitReached:
    return errors.LimitReached(field, f"you keep {there} bytes of at most {most}: delete files, or send less")


def _write(stores: Stores, tenant_id: uuid.UUID, part_id: uuid.UUID, chunks: Iterable[bytes]) -> int:
    """Puts them; how many bytes they were."""
    size = 0
    for number, piece in enumerate(_pieces(_touching(stores, tenant_id, part_id, chunks))):
        try:
            stores.current.put(tenant_id, part_id, number, piece)
        except errors.Unavailable as error:
            raise _Unanswered(str(error)) from error
        failpoints.passed("files.after_piece")
        size += len(piece)
    return size


def _touching(stores: Stores, tenant_id: uuid.UUID, part_id: uuid.UUID, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """These; at each of them, and so before each piece is put, its writer has said within `_TOUCH_S` that it lives.
    Whoever erases what is silent has waited far longer than a put takes."""
    touched = time.monotonic()
    for chunk in chunks:
        if time.monotonic() - touched > _TOUCH_S:
            with stores.transactions.begin() as session, scope(session, tenant_id):
                if not parts.touch(session, tenant_id, part_id):
                    raise errors.Unavailable("what was being written has been ended; try again")
            touched = time.monotonic()
        yield chunk


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= PIECE_BYTES:
            yield bytes(buffer[:PIECE_BYTES])
            del buffer[:PIECE_BYTES]
    if buffer:
        yield bytes(buffer)
