"""A client that costs little: raw HTTP/1.1 over asyncio, since whoever measures shares the cores with the measured."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Address = tuple[str, int]


@dataclass(slots=True)
class Reading:
    """An answer that came in pieces: when it was asked for, each piece with its moment, in `perf_counter` seconds."""

    asked_at: float
    pieces: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def whole(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    def when(self, mark: bytes) -> float:
        """The moment of the piece that completed the first `mark`. Raises `ValueError` when there is none."""
        end = self.whole.index(mark) + len(mark)
        for moment, piece in self.pieces:
            end -= len(piece)
            if end <= 0:
                return moment
        raise AssertionError

    def moments(self, mark: bytes) -> list[float]:
        """The moments of all pieces that hold a `mark`."""
        return [moment for moment, piece in self.pieces if mark in piece]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The data of every server-sent event of that name, in order; of one without a name for ``."""
        text = _unchunked(self.whole)
        found = []
        for frame in text.split(b"\n\n"):
            fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if b": " in line and line[:1] != b":")
            if fields.get(b"event", b"").decode() == name and b"data" in fields:
                found.append(json.loads(fields[b"data"]))
        return found


def request(method: str, path: str, key: str, body: Mapping[str, Any] | None = None, *, last: bool = False) -> bytes:
    """A whole request; `last` asks for the connection to be closed after the answer."""
    payload = json.dumps(body).encode() if body is not None else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
    return (head + ("Connection: close\r\n\r\n" if last else "\r\n")).encode() + payload


async def read_all(address: Address, sent: bytes) -> Reading:
    """Sends on a new connection and reads until the server closes it."""
    reading = Reading(time.perf_counter())
    reader, writer = await asyncio.open_connection(*address)
    writer.write(sent)
    while piece := await reader.read(1 << 16):
        reading.pieces.append((time.perf_counter(), piece))
    writer.close()
    return reading


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> tuple[int, bytes]:
    """One exchange on a connection that stays open: the status and the body."""
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    lowered = head.lower()
    start = lowered.index(b"content-length:") + len(b"content-length:")
    body = await reader.readexactly(int(lowered[start : lowered.index(b"\r\n", start)]))
    return int(head.split(b" ", 2)[1]), body


def _unchunked(raw: bytes) -> bytes:
    head, _, rest = raw.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return rest
    text = bytearray()
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        text += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return bytes(text)
