"""What is found, and what stands in for a part that isn't as it should be."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

from cli.operator.doctor.finding import Check, Installation, Level
from db import session as db_session
from tests import tables
from tests.support import databases

NOWHERE = "127.0.0.1:9"
SECRETS = {"FOREBAY_KEY_PEPPER": tables.PEPPER, "FOREBAY_WEBHOOK_KEY": tables.WEBHOOK_KEY}


def found(check: Check, installation: Installation) -> list[tuple[Level, str]]:
    """What the check finds, with all that it says."""
    return [(finding.level, f"{finding.seen} {finding.advice}") for finding in check(installation)]


def only(check: Check, installation: Installation) -> tuple[Level, str]:
    [one] = found(check, installation)
    return one


@contextmanager
def asking(installation: Installation, url: str) -> Iterator[Installation]:
    """The installation, with its PostgreSQL asked by this URL."""
    with databases.pool(url) as engine:
        yield replace(installation, sessions=db_session.open_sessions(engine))


@contextmanager
def answering(status: int, body: object = None) -> Iterator[str]:
    """The address of something that answers so, once."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        serving.join()
