import os
import signal
import stat
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from cli.launcher import embedded, processes
from tests.support.waiting import until

from .test_processes import is_gone, tended


def start(folder: Path, make: Callable[[Path], embedded.Server]) -> tuple[processes.Supervisor, embedded.Server]:
    server = make(folder)
    supervisor = processes.Supervisor(folder, folder / "run.json", print)
    supervisor.start(server.spec)
    tended(supervisor, lambda: server.answers(supervisor.pid(server.spec.name)))
    return supervisor, server


def kill_all(supervisor: processes.Supervisor, name: str) -> None:
    """`kill -9` of a server and of everything it started."""
    pid = supervisor.pid(name)
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        os.kill(process.pid, signal.SIGKILL)
    supervisor.stop(name)  # nothing is left to stop: this only takes note of it
    until(lambda: all(is_gone(process.pid) for process in family))


def test_postgres_killed_with_all_its_processes_keeps_what_was_committed(tmp_path: Path) -> None:
    """A kill of every process at once costs nothing that was committed."""
    supervisor, server = start(tmp_path, embedded.postgres)
    with psycopg.connect(server.url) as connection:
        connection.execute("create table t as select 42 as answer")
    kill_all(supervisor, embedded.POSTGRES)
    supervisor, server = start(tmp_path, embedded.postgres)
    with psycopg.connect(server.url) as connection:
        assert connection.execute("select answer from t").fetchone() == (42,)
    supervisor.stop(embedded.POSTGRES)


def test_postgres_interrupted_while_it_was_made_is_made_anew(tmp_path: Path) -> None:
    """Half a cluster is thrown away, never started."""
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    supervisor, server = start(tmp_path, embedded.postgres)
    with psycopg.connect(server.url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    supervisor.stop(embedded.POSTGRES)
    assert not half.exists()


def test_postgres_has_vectors_and_syncs_commits(tmp_path: Path) -> None:
    """pgvector can be had, and a commit is on the disk when it is told."""
    supervisor, server = start(tmp_path, embedded.postgres)
    with psycopg.connect(server.url) as connection:
        connection.execute("create extension vector")
        for setting, value in (("fsync", "on"), ("synchronous_commit", "on"), ("listen_addresses", "")):
            assert connection.execute(f"show {setting}").fetchone() == (value,)
    supervisor.stop(embedded.POSTGRES)


def test_redis_killed_keeps_what_it_was_given(tmp_path: Path) -> None:
    """A kill leaves the append-only file, and the next Redis reads it."""
    supervisor, server = start(tmp_path, embedded.redis)
    with redis.Redis.from_url(server.url) as client:
        client.set("answer", 42)
    kill_all(supervisor, embedded.REDIS)
    supervisor, server = start(tmp_path, embedded.redis)
    with redis.Redis.from_url(server.url) as client:
        assert client.get("answer") == b"42"
    supervisor.stop(embedded.REDIS)


def test_redis_takes_so_much_memory_and_drops_nothing(tmp_path: Path) -> None:
    """Past the bound it refuses writes, and what it was given stays."""
    supervisor, server = start(tmp_path, partial(embedded.redis, memory="4mb"))
    with redis.Redis.from_url(server.url) as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(1000):
            pipeline.set(f"key{number}", b"x" * 10_000)
        taken = pipeline.execute(raise_on_error=False).count(True)
        assert 0 < taken < 1000
        with pytest.raises(redis.OutOfMemoryError):
            client.set("more", b"x" * 10_000)
        assert client.dbsize() == taken
    supervisor.stop(embedded.REDIS)


def test_servers_in_a_folder_with_a_long_name_listen_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path too long for a unix socket is no obstacle."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as short:
        os.chmod(short, 0o711)  # like the system's own: anyone may pass
        monkeypatch.setattr(tempfile, "tempdir", short)
        for make in (embedded.redis, embedded.postgres):
            supervisor, server = start(folder, make)
            supervisor.stop(server.spec.name)
            assert "long" not in server.url


def test_data_of_the_servers_is_closed_to_others(tmp_path: Path) -> None:
    """Nobody but the servers' own users may look into their folders."""
    for make in (embedded.redis, embedded.postgres):
        make(tmp_path)
    for name in ("redis", "postgres"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700
