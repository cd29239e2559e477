"""The client's side of a stream: lost connections, stopping servers, and things that are no API."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from cli.client import client as api
from cli.client.client import ApiError, Client, Event, Unreachable, parse

JOB = {"id": "job_1", "status": "succeeded"}


def frame(id: str | None, type: str, data: Any) -> str:
    number = f"id: {id}\n" if id else ""
    return f"{number}event: {type}\ndata: {json.dumps(data)}\n\n"


class Scripted(BaseHTTPRequestHandler):
    """Answers each request for a stream with the next of `streams`: an empty one with 204; an unfinished one is cut."""

    protocol_version = "HTTP/1.1"
    streams: ClassVar[list[tuple[str, bool]]] = []
    resumed_after: ClassVar[list[str]] = []
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        if not self.path.endswith("/events"):
            self._answer(json.dumps(JOB), "application/json", cut=False)
        elif self.status != 200:
            self._answer("<html>", "text/html", cut=False)
        else:
            self.resumed_after.append(self.headers["Last-Event-ID"])
            body, whole = self.streams.pop(0)
            self._answer(body, "text/event-stream", cut=not whole) if body else self._nothing()

    def _answer(self, body: str, type: str, *, cut: bool) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", type)
        self.send_header("Content-Length", str(len(body) + (100 if cut else 0)))
        self.end_headers()
        self.wfile.write(body.encode())
        self.close_connection = cut

    def _nothing(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[..., Client]]:
    """Starts a server that gives these streams (text, whether it ends in order) and a client for it."""
    opened: list[Any] = []

    def start(*streams: tuple[str, bool], status: int = 200) -> Client:
        Scripted.streams, Scripted.resumed_after, Scripted.status = list(streams), [], status
        server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        client = Client(f"http://127.0.0.1:{server.server_port}", "fb_x")
        opened.append((server, client))
        return client

    yield start
    for server, client in opened:
        client.__exit__(None, None, None)
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_PAUSE_S", 0.0)


def test_lost_connection_is_resumed_after_the_last_event(serve: Callable[..., Client]) -> None:
    """Cut off anywhere, the client asks for what follows the last number it got, and repeats nothing."""
    first = frame(None, "queued", {"position": 0}) + frame("1-1", "started", {}) + "id: 1-2\nevent: del"
    client = serve((first, False), (frame("1-2", "delta", {"text": "a"}) + frame("1-3", "succeeded", JOB), True))
    assert [event.type for event in client.events("job_1")] == ["queued", "started", "delta", "succeeded"]
    assert Scripted.resumed_after == ["0", "1-1"]


def test_stream_closed_before_its_end_is_asked_again(serve: Callable[..., Client]) -> None:
    """A server that stops ends its streams in order; if the job has ended by then, its end is still got."""
    client = serve((": ok\n\n: resume\nretry: 500\n\n", True), (frame("1-1", "succeeded", JOB), True))
    assert [event.type for event in client.events("job_1")] == ["succeeded"]


def test_end_that_the_stream_never_tells_is_taken_from_the_job(serve: Callable[..., Client]) -> None:
    """Who resumes after the last event isn't kept waiting."""
    client = serve((": ok\n\n", True), (": ok\n\n", True))
    assert list(client.events("job_1", after="1-9")) == [Event(None, "succeeded", JOB)]


def test_end_that_was_read_already_is_taken_from_the_job(serve: Callable[..., Client]) -> None:
    """Who resumes after the last event is answered 204 and asks no more than once again."""
    client = serve(("", True), ("", True))
    assert list(client.events("job_1", after="1-9")) == [Event(None, "succeeded", JOB)]
    assert Scripted.resumed_after == ["1-9", "1-9"]


def test_refusal_without_our_shape_is_still_an_error(serve: Callable[..., Client]) -> None:
    """A proxy's page is told by its status."""
    with pytest.raises(ApiError, match="404"):
        list(serve(status=404).events("job_1"))


def test_server_that_is_gone_is_unreachable(serve: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute without an answer the client gives up and says where it asked."""
    monkeypatch.setattr(api, "_PATIENCE_S", 0.0)
    with Client("http://127.0.0.1:1", "fb_x") as client:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
            client.submit({})
        with pytest.raises(Unreachable):
            list(client.events("job_1"))


def test_comments_and_hints_are_no_events() -> None:
    """Heartbeats and hints to come again carry no data."""
    assert list(parse([": ok", "", ": hb", "", "retry: 0", ""])) == []


def test_end_that_is_cut_off_is_resumed_too(serve: Callable[..., Client]) -> None:
    """What came before the cut isn't given again."""
    client = serve(
        (": ok\n\n", True),
        (frame("1-1", "started", {}) + frame("1-2", "delta", {"text": "a"}), False),
        (frame("1-3", "succeeded", JOB), True),
    )
    assert [event.id for event in client.events("job_1")] == ["1-1", "1-2", "1-3"]
    assert Scripted.resumed_after == ["0", "0", "1-2"]
