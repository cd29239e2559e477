"""A `forebay up` of the tour's own: started, watched and stopped with it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.launcher import credentials, given, lineup
from cli.launcher.datafolder import DataFolder


@dataclass(frozen=True, slots=True)
class Launched:
    """A `forebay up` that can answer jobs."""

    url: str
    key: str
    flower_url: str
    folder: DataFolder
    process: "subprocess.Popen[str]"

    @property
    def flower_login(self) -> tuple[str, str]:
        """The user and the password of Flower."""
        user, _, password = credentials.read(self.folder.secrets).flower_login.partition(":")
        return user, password


@contextmanager
def launched(
    data: Path,
    port: int | None,
    flower_port: int | None,
    say: Callable[[str], None],
    env: Mapping[str, str] | None = None,
) -> Iterator[Launched]:
    """`forebay up` for as long as the block runs; stops it however that ends. Exits with its status if it can't.

    It chooses a port where none is given.
    What it says meanwhile goes to `say`, from a thread of its own. `env` is told it beside our own environment.
    """
    argv = [sys.executable, "-m", "cli", "up", "--data", str(data.absolute())]
    asked = {"--port": port, "--flower-port": flower_port}
    ports = [f"{option}={each}" for option, each in asked.items() if each is not None]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A session of its own: Ctrl-C reaches only us, and we stop it in order.
    with subprocess.Popen(
        [*argv, *ports],
        cwd=lineup.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    ) as process:
        assert process.stderr is not None
        listener = threading.Thread(target=_pass_on, args=(process.stderr, say), daemon=True)
        listener.start()
        try:
            told, folder = _ready(process), DataFolder(data)
            noted = given.read(folder.given)
            assert noted is not None
            flower_url = f"http://{lineup.HOST}:{noted.flower_port}"
            yield Launched(told["url"], told["key"], flower_url, folder, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            listener.join()


def _pass_on(lines: Iterable[str], say: Callable[[str], None]) -> None:
    for line in lines:
        say(line.rstrip("\n"))


def _ready(process: "subprocess.Popen[str]") -> dict[str, str]:
    """What its one line says, once it can answer jobs."""
    assert process.stdout is not None
    word, _, rest = process.stdout.readline().strip().partition(" ")
    if word != "ready":
        sys.exit(process.wait() or 1)
    return dict(part.split("=", 1) for part in rest.split())
