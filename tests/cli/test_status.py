"""`forebay status` and `forebay --version`."""

import importlib.metadata
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from tests.support.platform import Stack, free_port

PARTS = {"postgres": "ok", "redis": "ok", "workers": {"one": 2, "other": 0}}


def status(url: str) -> Result:
    return CliRunner().invoke(main, ["status", "--url", url])


@contextmanager
def answering(code: int, body: Any) -> Iterator[str]:
    """A server that answers whatever it is asked with this; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_runs_is_told_without_a_key(stack: Stack) -> None:
    """One line a part, and one a model."""
    told = status(stack.url)
    assert told.exit_code == 0
    lines = [line.split(maxsplit=1) for line in told.stdout.splitlines()]
    assert lines[:3] == [["API", f"ready, {stack.url}"], ["PostgreSQL", "ok"], ["Redis", "ok"]]
    assert ["echo", "workers: 1"] in lines


def test_models_without_workers_and_jobs_without_a_model_are_told() -> None:
    """What waits, and why."""
    with answering(200, {"status": "ready", "parts": PARTS | {"unserved": {"old-model": 12}}}) as url:
        told = status(url)
    assert told.exit_code == 0
    assert [line.split(maxsplit=1)[1] for line in told.stdout.splitlines()[3:]] == [
        "workers: 2",
        "no worker, its jobs wait",
        "isn't served, waiting jobs: 12",
    ]


def test_platform_without_its_database_is_status_1() -> None:
    """With what can be told all the same."""
    parts = {"postgres": "down", "redis": "ok", "workers": {"one": None}}
    with answering(503, {"status": "unavailable", "parts": parts}) as url:
        told = status(url)
    assert told.exit_code == 1
    assert [line.split()[1] for line in told.stdout.splitlines()] == ["unavailable,", "down", "ok", "unknown"]


@pytest.mark.parametrize("body", [b"<html>", [], {"status": "ready"}, {"parts": PARTS}])
def test_something_else_that_answers_is_status_1(body: Any) -> None:
    """It isn't taken for ours."""
    with answering(200, body) as url:
        told = status(url)
    assert (told.exit_code, "is no API of ours" in told.stderr) == (1, True)


def test_nobody_who_answers_is_status_1() -> None:
    """The address is named."""
    for url in (f"http://127.0.0.1:{free_port()}", "nonsense"):
        told = status(url)
        assert (told.exit_code, told.stderr.startswith(f"Error: {url} doesn't answer")) == (1, True)


def test_version_is_the_packages() -> None:
    """From its metadata."""
    told = CliRunner().invoke(main, ["--version"])
    assert told.stdout == f"forebay {importlib.metadata.version('forebay')}\n"
