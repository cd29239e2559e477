"""A way to PostgreSQL on which the connection can be lost at the worst moment: around a commit."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy.engine import make_url

_PIECE = 65536


class Wire:
    """Forwards between clients and a server's socket. While `armed`, the next commit loses its connection.

    `commit` is what a commit has in it: the word, or a part of a statement that is a transaction of its own.
    """

    def __init__(self, listener: socket.socket, target: str) -> None:
        self.commit = b"COMMIT"
        self.armed: str | None = None  # "before" the server hears of the commit, or "after" it has answered
        self.fired = 0
        self._listener, self._target = listener, target
        self._lock = threading.Lock()

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self._target)
            while True:
                for ready in select.select((client, server), (), ())[0]:
                    piece = ready.recv(_PIECE)
                    moment = self._disarm() if ready is client and self.commit in piece else None
                    if not piece or moment == "before":
                        return
                    (server if ready is client else client).sendall(piece)
                    if moment == "after":
                        server.recv(_PIECE)
                        return

    def _disarm(self) -> str | None:
        with self._lock:
            moment, self.armed = self.armed, None
            self.fired += moment is not None
            return moment


@contextmanager
def wire(postgres_url: str, folder: Path) -> Iterator[tuple[str, Wire]]:
    """A URL that leads to the same database through a wire, and the wire."""
    url = make_url(postgres_url)
    name = ".s.PGSQL.5432"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / name))
        listener.listen(64)
        made = Wire(listener, f"{url.query['host']}/{name}")
        threading.Thread(target=made.serve, daemon=True).start()
        yield url.update_query_dict({"host": str(folder)}).render_as_string(False), made
        listener.shutdown(socket.SHUT_RDWR)
