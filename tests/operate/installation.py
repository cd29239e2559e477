"""An installation as an operator has one: every process is started here by the command that docs/operating.md names."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import psycopg

from cli.launcher import lineup, processes
from tests.support import catalogs, waiting
from tests.support.platform import ROOT, free_port

START_LIMIT_S = 60.0
ECHO, CHAT = "echo", "demo-chat"
SLOTS = {ECHO: 8, CHAT: 4}
MACHINES = ("one", "two")
PASSWORD = "of-a-test"
SECRETS = {"FOREBAY_KEY_PEPPER": "pepper-of-an-installation", "FOREBAY_WEBHOOK_KEY": "webhooks-of-an-installation"}


class LeftOut(Exception):
    """The step can't be taken on this machine; the text says what isn't here."""


@dataclass(slots=True)
class Installation:
    """One PostgreSQL, one Redis, and any number of our processes, each under a name of its own.

    `address` is where clients ask, `addresses` those of the APIs themselves. `wrong` is what a process did that it
    should not have done, in words.
    """

    folder: Path
    short: bool
    supervisor: processes.Supervisor = field(init=False)
    env: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    specs: dict[str, processes.Spec] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    address: str = ""
    key: str = ""
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.supervisor = processes.Supervisor(self.folder, self.folder / "run.json", self.wrong.append)
        catalog = self.folder / "catalog.toml"
        served = [catalogs.echo(ECHO, slots=SLOTS[ECHO], options={"token_s": 0.02})]
        catalog.write_text("".join(served if self.short else [*served, catalogs.demo()]))
        own = {name: value for name, value in os.environ.items() if not name.startswith(("FOREBAY_", "FLOWER_"))}
        ours = {"FOREBAY_CATALOG": str(catalog), "FOREBAY_THREADS": "1", "FOREBAY_API_PROCESSES": "1"}
        self.env = {**own, **ours, **SECRETS, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def url(self, user: str, database: str = "forebay") -> str:
        """Of the PostgreSQL, as one of its users."""
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.ports['postgres']}/{database}"

    def sql(self, statements: str, user: str = "forebay", database: str = "forebay") -> list[tuple[Any, ...]]:
        """What PostgreSQL answers to the last of the statements."""
        with psycopg.connect(self.url(user, database), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statements.encode())
            return cursor.fetchall() if cursor.description else []

    def command(self, *argv: str, root: Path = ROOT, status: int = 0, **env: str) -> str:
        """What a `forebay` command says, which must end with that status."""
        own = self.env | env | {"PYTHONPATH": str(root)}
        return run([sys.executable, "-m", "cli", *argv], own, root, status)

    def start(self, spec: processes.Spec, ready: Callable[[], object]) -> None:
        """Starts the process and waits until it is ready. Raises `RuntimeError` with its log where it ends instead."""
        self.begin(spec)
        self._await(spec.name, ready)

    def begin(self, spec: processes.Spec) -> str:
        """Starts the process, which `serve` waits for; its name."""
        self.specs[spec.name] = spec
        self.supervisor.start(spec)
        return spec.name

    def serve(self, *names: str) -> None:
        """Returns once these processes of ours, which were begun, serve. Raises `RuntimeError` as `start` does."""
        for name in names:
            self._await(name, self.readiness(name))

    def _await(self, name: str, ready: Callable[[], object]) -> None:
        def is_ready() -> object:
            self.supervisor.tend()
            if self.supervisor.deaths(name):
                raise RuntimeError(f"{name} ended: {self.log(name)[-1000:]}")
            return ready()

        waiting.until(is_ready, START_LIMIT_S, look_s=0.05)

    def stop(self, *names: str) -> None:
        """Asks the processes to stop, as an operator would, and waits until they have."""
        self.supervisor.stop(*names)

    def restart(self, name: str) -> None:
        """Stops the process and starts it again; returns once it serves."""
        self.stop(name)
        self.serve(self.begin(self.specs[name]))

    def readiness(self, name: str) -> Callable[[], object]:
        """What shows that the process serves: an API answers, a worker's first heartbeat is in the database."""
        if name.startswith(lineup.API):
            return lambda: answers(f"http://127.0.0.1:{self.ports[name]}/readyz")
        return lambda: self.beats(name)

    def beats(self, name: str) -> bool:
        """Whether the worker that runs under the name now has sent a heartbeat within two seconds."""
        like = f"'%:{self.supervisor.pid(name)}.%'"
        question = f"SELECT 1 FROM workers WHERE id LIKE {like} AND beat_at > now() - interval '2 s'"
        with psycopg.connect(self.specs[name].env["FOREBAY_DATABASE_URL"]) as connection:
            return connection.execute(question.encode()).fetchone() is not None

    def log(self, name: str) -> str:
        return self.supervisor.log(name).read_text(errors="replace")

    def port(self, name: str) -> int:
        """Where the process of that name listens, or is to."""
        return self.ports.setdefault(name, free_port())

    def api(self, machine: str, root: Path = ROOT, **env: str) -> str:
        """Begins an API as if on that machine; its name. `root` has the files of its version."""
        name = f"{lineup.API}-{machine}"
        return self.begin(_as(lineup.api(self.port(name), self.env | env), name, root))

    def worker(self, machine: str, model: str, root: Path = ROOT, **env: str) -> str:
        """Begins a worker of the model, or the control worker, as if on that machine; its name."""
        own = self.env | env
        spec = lineup.control(own) if model == lineup.CONTROL else lineup.worker(model, SLOTS[model], 1, own)
        name = f"{spec.name}-{machine}"
        argv = [part.replace("@%h", f"@{machine}") for part in spec.argv]
        return self.begin(_as(replace(spec, argv=tuple(argv)), name, root))

    def close(self) -> None:
        """Stops everything, the servers last."""
        servers = ("redis", "postgres")
        self.supervisor.stop(*(name for name in self.supervisor.names() if name not in servers))
        self.supervisor.stop("redis")
        self.supervisor.stop("postgres")


def _as(spec: processes.Spec, name: str, root: Path) -> processes.Spec:
    """The process under this name, by the program whose files are there."""
    return replace(spec, name=name, cwd=root, env={**spec.env, "PYTHONPATH": str(root)})


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def run(argv: Sequence[str], env: Mapping[str, str], cwd: Path, status: int = 0) -> str:
    """What the command says. Raises `RuntimeError` with that where it doesn't end with the status."""
    done = subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode != status:
        raise RuntimeError(f"{' '.join(argv[:6])} ended with {done.returncode}: {said[-1500:]}")
    return said
