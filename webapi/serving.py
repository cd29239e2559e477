"""gunicorn's threaded worker, so that no client can hold up the thread that accepts the others; and what it may log."""

import errno
import logging
import math
import re
import select
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

BODY_S = 30.0  # for a body, and a second more for each so many bytes of it that have come
BODY_BYTES_A_SECOND = 64 * 1024
UNFINISHED = 1000  # connections that wait for a whole head; of more, the oldest are closed
IDLE = 800  # connections kept for another request
_HEAD_BYTES = 64 * 1024
_END = b"\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_UNREAD_BODY_S = 0.25  # for the rest of a body that nobody wanted; then the connection is closed
_LINGERING = 64  # threads that wait for clients to close
_STAY_S = 0.5  # so long a thread waits for the next request of the connection it has answered
_LEAVING_S = 1.0  # a process that stops waits so long for the rest of a head
_STAYING = 0.75  # and only while no more than this share of the threads are taken


class Threads(ThreadWorker):  # type: ignore[misc]
    """`gthread`, but no request has a thread before its head is whole, and none for longer than its body may take.

    The accepting thread gathers heads itself, without waiting for any. `gthread` also closes a finished connection on
    that thread, and waits up to two seconds for the client to close too: here a request's own thread does. And a thread
    stays with its connection for a moment, as long as enough others are free: the next request of a busy client then
    takes no way over the accepting thread.
    """

    head_s: float  # from a connection's first moment, or the end of the answer before, to the end of a request's head

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_keepalived = IDLE
        self._lingering = threading.BoundedSemaphore(_LINGERING)
        self._counting = threading.Lock()
        self._taken = self._staying = 0
        self._leave_at = math.inf

    def set_accept_enabled(self, enabled: bool) -> None:
        """A process that stops takes whoever has connected, and lets go of the port: the next is refused at once.

        `gthread` holds the port to its end and takes nobody; a proxy that connected meanwhile would have sent its
        request for nothing, and may not send it again elsewhere.
        """
        super().set_accept_enabled(enabled)
        if self.alive:
            return
        self._leave_at = time.monotonic() + _LEAVING_S
        for listener in self.sockets:
            while self.accept(listener):
                pass
            listener.close()

    def accept(self, listener: Any) -> bool:
        """Takes one connection. False when there is none, or no room for it."""
        try:
            accepted, address = listener.accept()
        except OSError as error:  # mostly another process was faster
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._close_oldest(keep=max(0, len(self.pending_conns) - 1))
            return False
        self.nr_conns += 1
        self._await_head(TConn(self.cfg, accepted, address, listener.getsockname()))
        return True

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """The next request comes on a connection that was kept."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._await_head(conn)

    def on_pending_socket_readable(self, conn: Any, client: socket.socket) -> None:
        if not conn.awaited:  # it was closed for another that came in the same moment
            return
        try:
            piece = client.recv(_HEAD_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        searched = max(0, len(conn.head) - len(_END))
        conn.head += piece
        if not piece:
            self._forget(conn)
            self._close(conn)
        elif conn.head.find(_END, searched) >= 0:
            self._forget(conn)
            self._begin(conn)
        elif len(conn.head) >= _HEAD_BYTES:
            with suppress(OSError):
                client.send(_TOO_LARGE)
            self._forget(conn)
            self._close(conn)

    def finish_request(self, conn: Any, done: "Future[Any]") -> None:
        """Keeps the connection, or closes it; what came after the request already is the head of the next."""
        kept = not done.cancelled() and done.exception() is None and done.result()
        ahead = conn.parser.unreader.take_buffered() if kept else b""
        if not ahead:
            super().finish_request(conn, done)
        elif _END in ahead:
            conn.head = ahead
            self._begin(conn)
        else:
            self._await_head(conn, ahead)

    def murder_pending(self) -> None:
        """Closes what has waited too long for its head; once the process stops, that is soon."""
        now = time.monotonic()
        while self.pending_conns and min(self.pending_conns[0].head_due, self._leave_at) <= now:
            self._close_oldest(keep=len(self.pending_conns) - 1)

    def handle(self, conn: Any) -> Any:
        self._count(taken=1)
        try:
            kept = self._answer(conn)
            while kept and self._next_is_here(conn):
                kept = self._answer(conn)
            if not kept:
                self._part(conn)
                conn.close = lambda graceful=False: None  # noqa: ARG005 - gunicorn's signature
        finally:
            self._count(taken=-1)
        return kept

    def _answer(self, conn: Any) -> Any:
        conn.parser.unreader.begin()
        return super().handle(conn)

    def _next_is_here(self, conn: Any) -> bool:
        """Stays with a connection for its next request. True when its head is whole.

        Else the connection goes back to the accepting thread, with whatever came: nothing is taken from the socket.
        """
        if not self.alive or self._taken > _STAYING * self.cfg.threads or conn.parser.unreader.buf.getvalue():
            return False
        self._count(staying=1)
        try:
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            return bool(poll.poll(1000 * _STAY_S)) and _END in conn.sock.recv(_HEAD_BYTES, socket.MSG_PEEK)
        except OSError:
            return False
        finally:
            self._count(staying=-1)

    def _count(self, *, taken: int = 0, staying: int = 0) -> None:
        """Notes how many threads are taken, and how many of them only stay, whose connections count as kept."""
        with self._counting:
            self._taken += taken
            self._staying += staying
            self.max_keepalived = IDLE - self._staying

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        if keepalive and getattr(conn.parser.mesg.body.reader, "length", None) == 0:
            return True  # it was read whole, or there was none
        return keepalive and bool(conn.parser.finish_body(deadline=time.monotonic() + _UNREAD_BODY_S))

    def _await_head(self, conn: Any, begun: bytes = b"") -> None:
        conn.head, conn.head_due, conn.awaited = bytearray(begun), time.monotonic() + self.head_s, True
        conn.sock.setblocking(False)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
        self._close_oldest(keep=UNFINISHED)

    def _begin(self, conn: Any) -> None:
        """Gives the request, whose head is whole, a thread."""
        conn.init()
        if not isinstance(conn.parser.unreader, Unreader):
            conn.parser.unreader = Unreader(conn.sock)
        conn.parser.unreader.unread(bytes(conn.head))
        self.enqueue_req(conn)

    def _part(self, conn: Any) -> None:
        """Closes gracefully, unless many threads wait for their clients to close already."""
        graceful = self._lingering.acquire(blocking=False)
        try:
            conn.close(graceful=graceful)
        finally:
            if graceful:
                self._lingering.release()

    def _close_oldest(self, *, keep: int) -> None:
        while len(self.pending_conns) > keep:
            oldest = self.pending_conns[0]
            self._forget(oldest)
            self._close(oldest)

    def _forget(self, conn: Any) -> None:
        conn.awaited = False
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()


class Unreader(SocketUnreader):  # type: ignore[misc]
    """gunicorn's way of reading a request, with a time for all of it: `TimeoutError` once that is over."""

    def begin(self) -> None:
        """A request's head is here; what is read from now on is its body."""
        self._begun_at, self._received = time.monotonic(), 0

    def chunk(self, size_hint: int | None = None) -> bytes:
        due = self._begun_at + BODY_S + self._received / BODY_BYTES_A_SECOND
        left_s = due - time.monotonic()
        limit_s = self.sock.gettimeout()
        if limit_s is not None:
            left_s = min(left_s, limit_s)
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        if left_s <= 0 or not poll.poll(1000 * left_s):
            raise TimeoutError("the body takes too long")
        piece: bytes = super().chunk(size_hint)
        self._received += len(piece)
        return piece


class Unquoted(logging.Filter):
    """gunicorn quotes the line that it couldn't read. Where a client announced too short a body, that is its prompt;
    where it forgot a colon, its key. Only the kind of damage is left. And it names the address of a request that failed
    with us, which may end with a ticket: only its path is left.
    """

    _QUOTING = re.compile(r"(Invalid request from ip=\S*: [\w ]*).*", re.DOTALL)
    _QUERY = re.compile(r"\?.*", re.DOTALL)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._QUOTING.sub(r"\1", str(record.msg))
        if isinstance(record.args, tuple):
            record.args = tuple(self._QUERY.sub("", arg) if isinstance(arg, str) else arg for arg in record.args)
        return True
