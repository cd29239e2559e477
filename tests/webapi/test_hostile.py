"""Hostile requests on a gunicorn as it is deployed: refused, answered once, and nobody else notices."""

import itertools
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from db.session import Sessions
from tests.webapi.conftest import new_key
from tests.webapi.serving import Served, gunicorn
from tests.webapi.test_body import MALFORMED
from webapi.settings import Settings

MEGABYTE = 1_000_000
BOMBS = [
    *[param.values[0] for param in MALFORMED],
    b'{"' + b"k" * MEGABYTE + b'": 1}',
    b'{"type": "' + b"x" * MEGABYTE + b'"}',
    b'{"type": ' + b"[" * 60 + b'"x",' * 200_000 + b'"x"' + b"]" * 60 + b"}",
    b"{" + b",".join(b'"k%d": 1' % i for i in range(100_000)) + b"}",
    b'{"input": ' + b"1" * MEGABYTE + b"}",
    b'{"input": 1e' + b"9" * MEGABYTE + b"}",
    b'{"input": "' + b"\\u" * 100_000 + b'"}',
    b'{"input": "' + b"\\" * (MEGABYTE + 1),
    b'"' * MEGABYTE,
    b"{" * 64 + b"[" * MEGABYTE,
    b" " * 4_000_000 + b"x",
    b'{"type": "chat", "input": {"messages": [' + b"{}," * 1_300_000 + b"{}]}}",
    b'{"type": "embed", "input": {"texts": [' + b"1," * 19_000 + b"1]}}",
    b'{"documents": [' + b"{}," * 9_000 + b"{}]}",
]
# Grammars are a way to crash an engine: nothing that carries one is taken.
GRAMMARS: list[dict[str, Any]] = [
    {"grammar": "root ::= " + "(" * 60_000 + '"a"' + ")" * 60_000},
    {"json_schema": {"enum": [str(i) for i in range(10_000)]}},
    {"response_format": {"type": "json_schema", "json_schema": {"$ref": "#"}}},
    {"guided_regex": "(a+)+$"},
    {"logit_bias": {"1": 1e308}},
    {"n_discard": -1},
    {"tools": [{"type": "function"}]},
]

HOSTILE_IDS = [
    b"x", b"1-", b"-1", b"\xff\xfe", b"1-1\xa0", b"9" * 7000, b"1-1, 1-2", b"$", b"+", b"1-1;2-2", b"0x1", b"1e3",
]  # fmt: skip
HOST = b"Host: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
# What two servers in a row may read as different requests, and what one may choke on: each from its first line on.
HEADS = {
    "both lengths": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\nContent-Length: 36\r\n\r\n" + SMUGGLED,
    "lengths in a list": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Content-Length: 0, 36\r\n\r\n" + SMUGGLED,
    "negative length": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "signed length": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
    "hexadecimal length": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Content-Length: 0x0\r\n\r\n" + SMUGGLED,
    "other digits": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Content-Length: \xb2\r\n\r\n" + SMUGGLED,
    "unknown coding": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n" + SMUGGLED,
    "coding twice": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED,
    "coding not last": b"POST /v1/jobs HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked, identity\r\n\r\n"
    + SMUGGLED,
    "tab before coding": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + SMUGGLED,
    "space before colon": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Content-Length : 36\r\n\r\n" + SMUGGLED,
    "folded header": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + SMUGGLED,
    "chunk size of no number": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n-1\r\n\r\n" + SMUGGLED,
    "endless chunk size": b"POST /v1/jobs HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n" + b"F" * 20_000 + b"\r\n" + SMUGGLED,
    "bare CR in a header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n" + SMUGGLED,
    "NUL in a header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n" + SMUGGLED,
    "header without a colon": b"GET /healthz HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n" + SMUGGLED,
    "header without a name": b"GET /healthz HTTP/1.1\r\n" + HOST + b": x\r\n\r\n" + SMUGGLED,
    "two hosts": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Host: y\r\n\r\n" + SMUGGLED,
    "one huge header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 100_000 + b"\r\n\r\n" + SMUGGLED,
    "many headers": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: x\r\n" * 1000 + b"\r\n" + SMUGGLED,
    "endless headers": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: x\r\n" * 100_000,
    "long address": b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "space in the address": b"GET /healthz HTTP/1.1 /x HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "method with control characters": b"GE\x01T /healthz HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
    "version of another age": b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n" + SMUGGLED,
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500 + b"\r\n\r\n",
}


def told(served: Served, sent: bytes, begins_s: float = 60) -> bytes:
    """Everything the server says to these bytes, until it closes the connection or is silent for a second.

    It may take `begins_s` until it says something: less where it needn't.
    """
    with socket.create_connection(("127.0.0.1", served.port)) as connection, suppress(ConnectionError):
        connection.settimeout(begins_s)
        said = b""
        with suppress(TimeoutError, ConnectionError):
            connection.sendall(sent)
            while piece := connection.recv(65536):
                said += piece
                connection.settimeout(1)
        return said
    return b""


def test_bombs_are_refused_on_every_route_that_reads_json(served: Served) -> None:
    """Depth, digits, sizes and keys without end are a 4xx; the process lives on and hasn't grown."""
    page = served.client.get("/openapi.json").json()
    bodies = {
        path: item.get("post", {}).get("requestBody", {}).get("content", {}) for path, item in page["paths"].items()
    }
    routes = [path for path, content in bodies.items() if "application/json" in content]
    assert len(routes) >= 3
    # A body that is refused unread closes its connection: none is used twice.
    worker, headers = served.worker, {"Content-Type": "application/json", "Connection": "close"}
    before = 0
    for _ in range(2):
        for path in routes:
            for bomb in BOMBS:
                response = served.client.post(path, content=bomb, headers=headers)
                assert response.status_code in (400, 413, 422), (path, bomb[:80])
                assert len(response.content) < 1000
        before = before or worker.memory_info().rss
    assert worker.memory_info().rss < before + 50 * MEGABYTE
    assert served.client.get("/v1/jobs").json()["data"] == []


def test_grammars_and_engine_options_are_refused(served: Served) -> None:
    """What engines choke on isn't passed to them: unknown fields are a 422 that names the field."""
    for extra, where in itertools.product(GRAMMARS, ("params", None)):
        job: dict[str, Any] = {"type": "generate", "input": {"prompt": "x"}, "params": {}}
        (job[where] if where else job).update(extra)
        error = served.client.post("/v1/jobs", json=job)
        name = next(iter(extra))
        expected = (422, f"{where}.{name}" if where else name)
        assert (error.status_code, error.json()["error"]["param"]) == expected


def test_damaged_heads_are_refused(served: Served) -> None:
    """No request hides behind another: whatever is answered is a refusal."""
    pid = served.worker.pid
    for name, sent in HEADS.items():
        answer = told(served, sent, begins_s=1)
        statuses = re.findall(rb"HTTP/1.1 (\d+) ", answer)
        assert all(re.fullmatch(b"4..|501|505", status) for status in statuses), (name, answer[:200])
        assert b'{"status":"ok"}' not in answer, name
    assert served.worker.pid == pid
    assert served.client.get("/healthz").status_code == 200


def test_lines_that_cannot_be_read_are_not_logged(settings: Settings, sessions: Sessions, tmp_path: Path) -> None:
    """A prompt behind too short a length, a key without its colon: the log says that they came, not what they were."""
    path, key = tmp_path / "log", new_key(sessions, "ours")
    authorization = f"Authorization: Bearer {key}\r\n"
    cut = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: 1\r\n\r\n"
    with path.open("wb") as log, gunicorn(settings, key, log) as served:
        assert b"HTTP/1.1 4" in told(served, f'{cut}{{"input": "a prompt, not a line"}}\r\n\r\n'.encode())
        assert b"HTTP/1.1 400" in told(served, f"GET / HTTP/1.1\r\n{authorization.replace(':', '')}\r\n".encode())
        assert b"HTTP/1.1 400" in told(served, f"GET / HTTP/1.1\r\n{authorization[:-2]}\0\r\n\r\n".encode())
    logged = path.read_text()
    assert logged.count("Invalid request from ip=127.0.0.1: ") == 3
    assert "prompt" not in logged
    assert key[14:40] not in logged


def test_no_page_of_another_origin_may_read_us(served: Served) -> None:
    """Neither a preflight nor an answer allows an origin anything, so browsers keep answers to themselves."""
    origins = ("null", "https://evil.example", "http://127.0.0.1")
    for origin, method in itertools.product(origins, ("OPTIONS", "GET")):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"}
        response = served.client.request(method, "/v1/jobs", headers=headers)
        assert not [name for name in response.headers if name.startswith("access-control-")]


def test_a_host_of_any_name_opens_nothing(served: Served) -> None:
    """A name that was rebound to this machine needs a key like any other, and isn't said back."""
    for host in ("evil.example", "127.0.0.1.evil.example", "x" * 200, "a b", "", "user@host", "[::1"):
        head = f"GET /v1/jobs HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        without = told(served, f"{head}\r\n".encode())
        assert without.split(b" ")[1] in (b"400", b"401")
        with_key = told(served, f"{head}Authorization: Bearer {served.key}\r\n\r\n".encode())
        assert with_key.split(b" ")[1] in (b"200", b"400")
        assert not host or host.encode() not in without + with_key


def test_resuming_after_what_is_no_event_is_refused(served: Served) -> None:
    """In the header and in the query; also a header that is there twice."""
    head = f"Host: x\r\nConnection: close\r\nAuthorization: Bearer {served.key}\r\n".encode()
    path = f"GET /v1/jobs/{served.submit()}/events".encode()
    for number in HOSTILE_IDS:
        quoted = b"".join(b"%%%02X" % byte for byte in number[:1000])
        for sent in (
            path + b" HTTP/1.1\r\n" + head + b"Last-Event-ID: " + number + b"\r\n\r\n",
            path + b"?after=" + quoted + b" HTTP/1.1\r\n" + head + b"\r\n",
            path + b" HTTP/1.1\r\n" + head + b"Last-Event-ID: 1-1\r\nLast-Event-ID: " + number + b"\r\n\r\n",
        ):
            assert told(served, sent).startswith(b"HTTP/1.1 422"), sent
