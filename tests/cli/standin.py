"""A stand-in for the API's documents: keeps what it was asked, answers what it was told to."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote

PASSAGE = {
    "document_id": "doc_1",
    "chunk": 2,
    "score": 0.8349,
    "text": "The boat\ncosts 42 coins.",
    "title": "facts.txt",
    "filename": "boats.pdf",
    "page": 3,
    "path": ["Boats", "Prices"],
    "metadata": {},
}


RECORD = {
    "model": "demo-chat",
    "lane": "interactive",
    "created_at": "2026-11-26T17:21:20.100000Z",
    "started_at": "2026-11-26T17:21:20.400000Z",
    "finished_at": "2026-11-26T17:21:20.900000Z",
    "attempt": 1,
    "progress": None,
    "usage": {"prompt_tokens": 68, "completion_tokens": 12},
}


class StandIn(ThreadingHTTPServer):
    """Gives each job made here its end from `ends` in order, as (status, result, error), after its `events`.

    `records` has what else is said of the job in the same place; `RECORD` where there is nothing.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []  # the JSON bodies
        self.brought: list[dict[str, bytes]] = []  # the forms: fields by name, files by theirs
        self.there: dict[str, dict[str, Any]] = {}  # documents by external id
        self.kept: set[str] = set()  # documents for summaries, by their ids
        self.over = threading.Event()
        self.asking = threading.Event()  # set by who follows events
        self.held = False  # events come only when it is over
        self.deleted: list[str] = []  # documents, by their ids
        self.slow: set[str] = set()  # files that are never taken
        self.members: dict[str, list[dict[str, Any]]] = {}  # of archives
        self.refused: set[str] = set()  # files of these names
        self.busy: set[str] = set()  # files that can't be taken now
        self.param = "file"  # the field that they are refused for
        self.ends: list[tuple[str, Any, Any]] = []
        self.records: list[dict[str, Any]] = []
        self.events: list[tuple[str, Any]] = []
        self.results: list[dict[str, Any]] = []  # of the one summary
        self.found: list[dict[str, Any]] = []
        self.collections: set[str] = set()
        self.models: list[dict[str, Any]] = []
        self.jobs = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def job(self, number: int) -> dict[str, Any]:
        """The job with this number, as it ended."""
        status, result, error = self.ends[number]
        record = RECORD | (self.records[number] if number < len(self.records) else {})
        return {"id": f"job_{number}", **record, "status": status, "result": result, "error": error}


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/documents":
            self._take(dict(_parts(self.headers["Content-Type"], body)))
            return
        if self.path == "/v1/summaries/documents":
            self._keep(_parts(self.headers["Content-Type"], body))
            return
        self.server.asked.append(json.loads(body))
        self._answer(200, {"results": self.server.found}) if self.path == "/v1/search" else self._accept()

    def do_DELETE(self) -> None:
        self.server.deleted.append(self.path.rpartition("/")[2])
        self._send(204, "application/json", b"")

    def do_GET(self) -> None:
        self.path, _, query = self.path.partition("?")
        if self.path == "/v1/documents":
            asked = {name: value for name, [value] in parse_qs(query).items()}
            there, members = self.server.there, self.server.members
            found = [there[asked["external_id"]]] if asked.get("external_id") in there else []
            self._answer(200, {"data": members.get(asked["archive"], []) if "archive" in asked else found})
        elif self.path.endswith("/events"):
            self._stream(int(self.path.split("_")[1].removesuffix("/events")))
        elif self.path.startswith("/v1/jobs/job_"):
            self._answer(200, self.server.job(int(self.path.split("_")[1])))
        elif self.path.endswith("/results"):
            after = int(parse_qs(query)["after"][0])
            self._answer(200, {"data": [one for one in self.server.results if one["number"] > after]})
        elif self.path.startswith("/v1/summaries/job_"):
            counts = {"succeeded": sum(one["summary"] is not None for one in self.server.results)}
            self._answer(200, self.server.job(0) | {"summary": None, "counts": counts})
        elif self.path.startswith("/v1/documents/doc_") and self.path.count("/") > 3:
            known = unquote(self.path.removeprefix("/v1/documents/")) in self.server.kept
            self._answer(200, {"status": "ready"}) if known else self._refuse(404, "not_found", "no such document")
        elif self.path.startswith("/v1/documents/doc_"):
            self._answer(200, {"external_id": f"file of {self.path.rpartition('_')[2]}", "filename": None})
        elif self.path == "/v1/models":
            self._answer(200, {"data": self.server.models})
        elif self.path.rpartition("/")[2] in self.server.collections:
            self._answer(200, {"chunks": 1})
        else:
            self._refuse(404, "not_found", "no such thing")

    def _take(self, form: dict[str, bytes]) -> None:
        if self.server.refused & form.keys():
            self._refuse(422, "invalid_value", "must end in one of .txt .md .html .htm .pdf", self.server.param)
        else:
            self.server.brought.append(form)
            self._accept()

    def _keep(self, files: list[tuple[str, bytes]]) -> None:
        """Files that are to be summarised: each is a document whose id is its text."""
        if self.server.slow & {name for name, _ in files}:
            self.server.over.wait()
        if self.server.busy & {name for name, _ in files}:
            self._refuse(503, "unavailable", "come again")
            return
        self.server.brought.append(dict(files))
        made = {f"doc_{content.decode()}": hashlib.sha256(content).hexdigest() for _, content in files}
        self.server.kept |= made.keys()
        self._answer(201, {"data": [{"id": id, "digest": digest} for id, digest in made.items()]})

    def _accept(self) -> None:
        number, self.server.jobs = self.server.jobs, self.server.jobs + 1
        self._answer(202, {"id": f"job_{number}", "status": "queued", "model": RECORD["model"]})

    def _stream(self, number: int) -> None:
        self.server.asking.set()
        if self.server.held:
            self.server.over.wait()
        job = self.server.job(number)
        events = [*self.server.events, (job["status"], job)]
        frames = [
            f"id: 1-{place}\nevent: {type}\ndata: {json.dumps(data)}\n\n"
            for place, (type, data) in enumerate(events, 1)
        ]
        self._send(200, "text/event-stream", "".join(frames).encode())

    def _refuse(self, status: int, code: str, message: str, param: str | None = None) -> None:
        self._answer(
            status, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
        )

    def _answer(self, status: int, answer: Any) -> None:
        self._send(status, "application/json", json.dumps(answer).encode())

    def _send(self, status: int, type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """Runs one for as long as the block does."""
    with StandIn() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


def _parts(type: str, body: bytes) -> list[tuple[str, bytes]]:
    parts = message_from_bytes(b"Content-Type: " + type.encode() + b"\r\n\r\n" + body).get_payload()
    found: list[tuple[str, bytes]] = []
    for part in parts:
        assert isinstance(part, Message)
        name, file = (part.get_param(key, header="Content-Disposition") for key in ("name", "filename"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found.append((str(name if file is None else file), content))
    return found
