"""What the image runs beside our processes, as it runs it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import click
import psutil
import pytest

from compose import run_here
from models import built_in
from tasks.models import catalog
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
DEMO = ROOT / "models" / "demo-Q8_0.gguf"


def ended(*argv: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **env}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server whose every answer has that status; its port."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (204, False), (503, False)])
def test_process_with_a_port_is_asked(status: int, healthy: bool) -> None:
    with answering(status) as port:
        assert (ended(COMPOSE / "healthy.sh", str(port), "/healthz").returncode == 0) is healthy


def test_process_that_is_closed_answers_so() -> None:
    """Flower tells nobody how it is without its password: that it asks for it is the sign."""
    for status, healthy in ((401, True), (200, False)):
        with answering(status) as port:
            assert (ended(COMPOSE / "healthy.sh", str(port), "/healthcheck", "401").returncode == 0) is healthy


def test_process_that_does_not_listen_is_not_healthy() -> None:
    with answering(200) as port:
        pass
    assert ended(COMPOSE / "healthy.sh", str(port), "/healthz").returncode != 0


def test_worker_is_healthy_while_its_file_is_young(tmp_path: Path) -> None:
    file = tmp_path / "heart"
    assert ended(COMPOSE / "healthy.sh", FOREBAY_HEART=str(file)).returncode != 0
    file.touch()
    assert ended(COMPOSE / "healthy.sh", FOREBAY_HEART=str(file)).returncode == 0
    old = file.stat().st_mtime - 31
    os.utime(file, (old, old))
    assert ended(COMPOSE / "healthy.sh", FOREBAY_HEART=str(file)).returncode != 0


def test_entrypoint_migrates_where_it_is_told_and_becomes_the_process(postgres_url: str) -> None:
    """A database that can't be reached ends the container before its process begins."""
    said = ["sh", "-c", "echo began"]
    assert ended(COMPOSE / "entrypoint.sh", *said, FOREBAY_DATABASE_URL="nothing").stdout == "began\n"
    reached = ended(COMPOSE / "entrypoint.sh", *said, FOREBAY_MIGRATE="1", FOREBAY_DATABASE_URL=postgres_url)
    assert (reached.returncode, reached.stdout) == (0, "began\n")
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    unreached = ended(COMPOSE / "entrypoint.sh", *said, FOREBAY_MIGRATE="1", FOREBAY_DATABASE_URL=nowhere)
    assert (unreached.returncode != 0, unreached.stdout) == (True, "")


def test_code_that_changes_has_the_process_start_again(tmp_path: Path) -> None:
    """The old one is asked to stop; what ends the whole ends the process too."""
    (tmp_path / "tasks").mkdir()
    begun = tmp_path / "begun"
    command = ["sh", "-c", f"echo $$ >>{begun}; exec sleep 600"]

    def pids() -> list[int]:
        return [int(line) for line in begun.read_text().splitlines()] if begun.exists() else []

    with subprocess.Popen([sys.executable, COMPOSE / "reload.py", *command], cwd=tmp_path) as reload:
        try:
            first = until(pids)[0]
            (tmp_path / "tasks" / "new.py").write_text("")
            second = until(lambda: pids()[1:])[0]
            assert not Path(f"/proc/{first}").exists()
            reload.send_signal(signal.SIGTERM)
            assert reload.wait(60) == 0
            assert not Path(f"/proc/{second}").exists()
        finally:
            reload.kill()


def test_model_is_built_in_before_the_others(tmp_path: Path) -> None:
    """Under the name and with the slots that were asked for, and it is what jobs get that name none."""
    path = tmp_path / "catalog.toml"
    path.write_text((ROOT / "models" / "catalog.toml").read_text())
    before = catalog.load(path)
    built_in.build_in(DEMO, 2, "mine/small", path)
    after = catalog.load(path)
    assert set(after) == {"mine/small", *before}
    mine = catalog.for_type(after, "chat")
    assert mine is not None
    assert (mine.name, mine.slots, mine.engine, mine.file) == (
        "mine/small",
        2,
        "llamacpp",
        tmp_path / "built-in.gguf",
    )
    assert mine.file.read_bytes() == DEMO.read_bytes()


@pytest.mark.parametrize("name", ["demo-chat", ""])
def test_model_that_cannot_be_built_in_changes_nothing(name: str, tmp_path: Path) -> None:
    """A name that is taken, or a file that is none."""
    path = tmp_path / "catalog.toml"
    path.write_text((ROOT / "models" / "catalog.toml").read_text())
    odd = tmp_path / "odd.gguf"
    odd.write_bytes(b"no model")
    with pytest.raises(click.ClickException):
        built_in.build_in(DEMO if name else odd, 2, name, path)
    assert path.read_text() == (ROOT / "models" / "catalog.toml").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_command_in_a_service_that_has_ended_tells_its_last_words(tmp_path: Path) -> None:
    """Its log goes with its folder, so that whoever reads of the failure has it there."""
    service = run_here.Container("api", {"environment": {}, "user": "10001"}, tmp_path, tmp_path)
    service.log.write_text("no room for the model")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        first = psutil.Process(process.pid)
    with pytest.raises(RuntimeError, match=r"api has ended.*\nno room for the model"):
        service.run(first, ["true"])
