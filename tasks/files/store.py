"""The port of what keeps the bytes of files.

It is handed pieces of a fixed size: so nobody ever holds more than one of them, a range needs only what it touches, and
a store needs nothing but to keep a small thing whole or not at all.
"""

import uuid
from typing import Protocol

PIECE_BYTES = 1024 * 1024


class Store(Protocol):
    """Keeps parts, piece by piece. Thread-safe. What can't be done now raises `Unavailable`."""

    @property
    def name(self) -> str:
        """What rows say of where their bytes are; without a secret."""

    def put(self, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, piece: bytes) -> None:
        """Keeps a piece, on the disk when it returns. Each but a part's last has `PIECE_BYTES`."""

    def get(self, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, start: int, end: int) -> bytes:
        """Bytes of a piece from `start` on, before `end`; fewer where there are no more, none where it is gone."""

    def discard(self, tenant_id: uuid.UUID, part_id: uuid.UUID) -> None:
        """Erases all pieces of the part, of one that is half written too. Idempotent; cut off anywhere, it goes on."""
