"""A receiver of webhooks: a real HTTP server that keeps what it was sent and answers as it is told."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import standardwebhooks


@dataclass(frozen=True, slots=True)
class Message:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """The payload, by the reference library. Raises its `WebhookVerificationError`."""
        return standardwebhooks.Webhook(secret).verify(self.body, self.headers)


Answer = Callable[["Handler"], None]


@dataclass(slots=True)
class Receiver:
    """Where it listens, what came, and how it answers: `answers` in turn, the last of them for ever."""

    port: int
    answers: list[Answer]
    messages: list[Message] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    def note(self, message: Message) -> Answer:
        with self.came:
            self.messages.append(message)
            self.came.notify_all()
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def until(self, count: int, limit_s: float = 60) -> list[Message]:
        """Waits until so many have come."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.messages) >= count, limit_s), self.messages
            return list(self.messages)


class Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.receiver.note(Message(self.path, headers, body))(self)

    do_GET = do_POST

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *args: object) -> None:
        """Whoever sends may hang up: that is what some tests are about."""


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """An ordinary answer; underscores in the names of headers stand for dashes."""

    def answer(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hang(handler: Handler) -> None:
    """Says nothing until the receiver is shut."""
    handler.receiver.released.wait(60)


def drip(handler: Handler) -> None:
    """A header a moment, without end: no single read takes long."""
    handler.send_response(200)
    handler.flush_headers()
    while not handler.receiver.released.wait(0.05):
        handler.wfile.write(b"X-Drip: drop\r\n")


def reset(handler: Handler) -> None:
    """RST instead of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def leave(handler: Handler) -> None:
    """Closes the connection without a word."""


@contextmanager
def listening(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver for as long as the block runs."""
    server = _Server(("127.0.0.1", 0), type("Own", (Handler,), {}))
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver = Receiver(server.server_address[1], list(answers or (status(204),)))
    server.RequestHandlerClass.receiver = receiver
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
