"""The HTTP server between OpenAI's tests and the API: it rewrites what they ask, and counts what it passed on."""

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from cli.conformance import ids, rewriting
from cli.conformance.asked import CHAT, RESPONSES, Asked
from cli.conformance.ids import Makes

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "authorization"})
_PIECE = 65536
_LIMIT_S = 120.0


@dataclass(slots=True)
class Passed:
    """What went through: create calls that were answered well, responses and stored completions that were erased with
    their jobs, and what was left out of requests, by field."""

    created: int = 0
    erased: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note_created(self) -> None:
        with self._lock:
            self.created += 1

    def note_erased(self) -> None:
        with self._lock:
            self.erased += 1

    def note_left_out(self, fields: list[str]) -> None:
        with self._lock:
            self.left_out.update(fields)


@dataclass(frozen=True, slots=True)
class Gateway:
    """`makes` makes what the tests ask about; `url` is where the API is."""

    url: str
    key: str
    relaxes: bool
    makes: Makes
    passed: Passed = field(default_factory=Passed)

    def rewritten(self, asked: Asked, kept: str) -> Asked:
        """What the API is asked instead. `kept` is a stored completion that stays."""
        if asked.path.startswith(CHAT):
            real = rewriting.named(asked, self.makes.store() if asked.erases else kept)
        else:
            real = ids.real(asked, self.makes)
        if not self.relaxes:
            return real
        real, left_out = rewriting.relaxed(real)
        self.passed.note_left_out([f"{one.path} {one.field}: {one.why}" for one in left_out])
        if filled := ids.filled(real, self.makes):
            self.passed.note_left_out([f"{rewriting.FILE_BATCHES}: nothing; a file was put in, as one is required"])
        return filled or real


@contextmanager
def served(gateway: Gateway) -> Iterator[str]:
    """Serves it for as long as the block does, on a port that was free; gives its address."""
    server = _Server(gateway)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.gateway = gateway
        self.kept = gateway.makes.store()


class _Door(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_DELETE(self) -> None:
        self._pass_on()

    def log_message(self, *_: object) -> None:
        """What is asked isn't written anywhere."""

    def _pass_on(self) -> None:
        gateway, at = self.server.gateway, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = gateway.rewritten(Asked(self.command, at.path, at.query, body), self.server.kept)
        upstream = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=_LIMIT_S)
        try:
            upstream.request(asked.method, asked.target, asked.body or None, self._headers(gateway.key))
            answer = upstream.getresponse()
            if asked.creates and answer.status < 300:
                gateway.passed.note_created()
            if asked.method == "DELETE" and asked.path.startswith((CHAT, RESPONSES)) and answer.status < 300:
                gateway.passed.note_erased()
            self._answer(answer)
        except (BrokenPipeError, ConnectionResetError):  # the test has heard enough
            self.close_connection = True
        finally:
            upstream.close()

    def _headers(self, key: str) -> dict[str, str]:
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        return {**kept, "Authorization": f"Bearer {key}"}

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := answer.read1(_PIECE):
            self._send(piece)
        self._send(b"")

    def _send(self, piece: bytes) -> None:
        """A chunk of the body; an empty one ends it."""
        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        with suppress(OSError):
            self.wfile.flush()
