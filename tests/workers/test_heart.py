"""A worker's signs of life, to a real file and a real socket as systemd's is."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from cli.launcher import lineup
from db import session as db_session
from db.session import Sessions
from tasks import errors
from tests.support.waiting import until
from workers import threads
from workers.heart import Heart
from workers.worker import Worker

ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "heart"


@pytest.fixture
def watched(worker: Worker, file: Path) -> Worker:
    """A worker whose heart has a file, which isn't there before the first sign."""
    worker.heart = Heart(file)
    return worker


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(60)
        yield listener


def test_each_heartbeat_is_a_sign(watched: Worker, file: Path) -> None:
    threads.go_round(watched)
    watched.heart.beat()
    assert file.exists()


def test_heartbeat_that_no_longer_comes_is_no_sign(watched: Worker, file: Path) -> None:
    """One heartbeat is one sign, however often the file might be touched."""
    threads.go_round(watched)
    watched.heart.beat()
    file.unlink()
    watched.heart.beat()
    assert not file.exists()


def test_worker_lives_while_postgres_cannot_be_reached(watched: Worker, file: Path) -> None:
    """A restart would lose what it generates, and mend nothing."""
    nowhere = db_session.open_engine("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1)
    watched.upkeep = db_session.open_sessions(nowhere)
    with pytest.raises(OperationalError):
        threads.go_round(watched)
    watched.heart.beat()
    assert file.exists()
    nowhere.dispose()


def test_worker_lives_while_postgres_does_not_answer(watched: Worker, sessions: Sessions, file: Path) -> None:
    """The table is locked: the heartbeat waits, and gives signs all the same."""

    def sign() -> bool:
        watched.heart.beat()
        return file.exists()

    watched.upkeep = sessions  # whose statements wait longer for a lock
    with sessions.begin() as session:
        session.execute(text("LOCK TABLE workers"))
        waits = threading.Thread(target=threads._guarded, args=[lambda: threads.go_round(watched)])
        waits.start()
        until(sign)
        assert waits.is_alive()
    waits.join()


def test_worker_whose_heartbeat_hangs_by_itself_gives_no_sign(watched: Worker, file: Path) -> None:
    with watched.lock:
        hangs = threading.Thread(target=threads.go_round, args=[watched])
        hangs.start()
        watched.heart.beat()
        assert not file.exists()
    hangs.join()
    watched.heart.beat()
    assert file.exists()


def test_slip_in_the_heartbeat_is_no_sign(watched: Worker, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "lock", None)
    with pytest.raises(TypeError):
        threads.go_round(watched)
    watched.heart.beat()
    assert not file.exists()


def test_address_with_an_at_sign_is_abstract() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0forebay-heart-" + str(os.getpid()))
        Heart(watchdog=f"@forebay-heart-{os.getpid()}").begin()
        assert listener.recv(100) == b"READY=1"


def test_worker_tells_systemd_and_touches_its_file(
    tmp_path: Path, file: Path, systemd: socket.socket, postgres_url: str, redis_url: str
) -> None:
    """A process of its own: what a worker before it left is taken away, then come READY and the watchdog's signs."""
    file.touch()
    os.utime(file, (0, 0))
    own = {
        "FOREBAY_DATABASE_URL": postgres_url,
        "FOREBAY_REDIS_URL": redis_url,
        "FOREBAY_WEBHOOK_KEY": "a webhook key of some length",
        "FOREBAY_HEART": str(file),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }
    argv = [sys.executable, "-m", "workers.serve", "-Q", "control.interactive,control.batch", "-c", "1", "-n", "one@%h"]
    with subprocess.Popen(argv, cwd=ROOT, env={**os.environ, **own}, stderr=subprocess.DEVNULL) as process:
        try:
            assert systemd.recv(100) == b"READY=1"
            first = file.stat().st_mtime_ns
            assert systemd.recv(100) == b"WATCHDOG=1"
            until(lambda: file.stat().st_mtime_ns > first)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_worker_without_a_place_for_its_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(errors.SettingsError, match="no sign of life can be given"):
        Heart(tmp_path / "nowhere" / "heart").open()


def test_processes_of_up_give_no_signs_for_it() -> None:
    """They would all touch one file, and tell systemd that `up` is ready when a worker is."""
    spec = lineup.control({"FOREBAY_HEART": "/run/heart", "NOTIFY_SOCKET": "/run/notify", "PATH": "/bin"})
    assert spec.env == {"PATH": "/bin"}


def test_nobody_watches_unless_told(worker: Worker) -> None:
    assert not worker.heart.watched
    assert replace(worker.heart, watchdog="@x").watched
