"""A way to a server that can be narrowed, blocked and broken: what `tc netem` would do, where there is none."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any

_CHUNK = 65536


class Proxy:
    """Listens on a loopback port and forwards to a unix socket. Switch it from any thread.

    `cut_after` names bytes of a request after whose forwarding the client is reset, before it hears the answer.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self.cut_after: bytes | None = None
        self.cuts = 0
        self.delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._clear = asyncio.Event()
        self._clear.set()
        self._clients: set[asyncio.StreamWriter] = set()
        threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True).start()
        self.port: int = self._do(self._listen())

    def hold(self) -> None:
        """Nothing passes any more, and nobody is told: a half-open connection."""
        self._loop.call_soon_threadsafe(self._clear.clear)

    def release(self) -> None:
        """What was held goes on, byte by byte."""
        self._loop.call_soon_threadsafe(self._clear.set)

    def reset(self) -> int:
        """Breaks all connections by RST; how many there were."""
        return int(self._do(self._reset_all()))

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._clear.wait()
        try:
            there, back = await asyncio.open_unix_connection(self._target)
        except OSError:
            _break(writer)
            return
        self._clients.add(writer)
        try:
            ways = (self._pump(reader, back, writer), self._pump(there, writer, None))
            await asyncio.wait([asyncio.ensure_future(way) for way in ways], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._clients.discard(writer)
            back.close()
            writer.close()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, asking: asyncio.StreamWriter | None
    ) -> None:
        """Forwards until either side ends. `asking` is the client whose requests these are."""
        try:
            while chunk := await source.read(_CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._clear.wait()
                sink.write(chunk)
                await sink.drain()
                if asking and self.cut_after and self.cut_after in chunk:
                    self.cuts += 1
                    self.cut_after = None
                    _break(asking)
                    await asyncio.sleep(0.2)  # the server is to act on what it was sent
        except OSError:
            pass

    async def _reset_all(self) -> int:
        clients = list(self._clients)
        for client in clients:
            _break(client)
        return len(clients)


def _break(writer: asyncio.StreamWriter) -> None:
    own = writer.get_extra_info("socket")
    if own is not None:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
