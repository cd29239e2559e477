"""A platform to break: every process is started here, and each can be killed, frozen and started again by its name."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import psutil
import psycopg
import redis

from benchmarks import random_gguf, stacks
from cli.launcher import credentials, embedded, lineup, processes
from tests.faults.proxy import Proxy
from tests.faults.subjects import Subject
from tests.support import catalogs
from tests.support.platform import RECEIVERS_HERE, free_port

LIMIT_S = 120.0
POLL_S = 0.02
_SERVE = "workers.serve"
DEMO, ECHO, FAST, EMBED = "demo", "echo", "fast", "embed"  # DEMO is the subject, whichever it is
ECHO_SLOTS, FAST_SLOTS, RANDOM_SLOTS, EMBED_SLOTS = 4, 8, 4, 16
# Models of random weights, by the way each cuts a text before it looks for tokens.
RANDOM = {f"random-{pre}": pre for pre in ("tekken", "gpt-4o", "deepseek-v3", "hunyuan-dense", "default")}
RANDOM_CONTEXT = random_gguf.SHAPES["long"].context  # a prompt of a million bytes is not refused at the door


def fresh_connections(url: str, key: str) -> httpx.Client:
    """A client that connects anew for each request, so that what it meets is not of a process that died meanwhile."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, headers=headers, timeout=10, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass(slots=True)
class Links:
    """The two ways of one process to its servers."""

    postgres: Proxy
    redis: Proxy


@dataclass(slots=True)
class Rig:
    """PostgreSQL, Redis, the API, the control worker, and any number of workers of a model."""

    folder: Path
    subject: Subject
    supervisor: processes.Supervisor = field(init=False)
    servers: dict[str, embedded.Server] = field(default_factory=dict)
    specs: dict[str, processes.Spec] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    disturbed: set[str] = field(default_factory=set)  # what was started with an environment of its own
    url: str = ""
    key: str = ""
    _http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.supervisor = processes.Supervisor(self.folder, self.folder / "run.json", print)

    def start(self) -> None:
        """Everything but the workers of models."""
        (self.folder / "catalog.toml").write_text(self._catalog())
        self.servers = {"postgres": embedded.postgres(self.folder), "redis": embedded.redis(self.folder)}
        for name in self.servers:
            self.start_server(name)
        secrets = self.folder / "secrets.json"
        known = credentials.open_or_make(secrets)
        own = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
        self.env = {
            **own,
            "FOREBAY_DATABASE_URL": self.servers["postgres"].url,
            "FOREBAY_REDIS_URL": self.servers["redis"].url,
            "FOREBAY_CATALOG": str(self.folder / "catalog.toml"),
            "FOREBAY_GRACE_S": "2",
            "FOREBAY_KEY_PEPPER": known.pepper,
            "FOREBAY_WEBHOOK_KEY": known.webhook_key,
            "PYTHONUNBUFFERED": "1",
            **RECEIVERS_HERE,
        }
        self.run(lineup.prepare(secrets, self.env))
        self.key = credentials.read(secrets).key or ""
        port = free_port()
        self.url = f"http://{lineup.HOST}:{port}"
        self._http = fresh_connections(self.url, self.key)
        self.spawn(lineup.api(port, self.env))
        self.spawn(lineup.control(self.env))
        self.until(lambda: self.status("/readyz") == 200)

    def run(self, spec: processes.Spec) -> None:
        self.spawn(spec)
        self.until(lambda: not self.alive(spec.name))

    def start_server(self, name: str) -> None:
        """Starts it as often as it takes: PostgreSQL refuses while sessions of a killed one still end."""
        server = self.servers[name]
        self.supervisor.start(server.spec)

        def answers() -> bool:
            if not self.alive(name):
                self.supervisor.start(server.spec)
            return server.answers(self.supervisor.pid(name))

        self.until(answers)

    def worker(self, name: str, model: str, links: Links | None = None, *, serve: str = _SERVE, **env: str) -> None:
        """A worker of the model; returns at its first heartbeat. Call it again after its end to have it back.

        `serve` is the module that starts a worker which knows more than the one that ships.
        """
        spec = lineup.worker(model, self._slots(model), 1, self.env)
        argv = tuple(part.replace(f"{model}@%h", f"{name}@%h").replace(_SERVE, serve) for part in spec.argv)
        self.specs[name] = replace(spec, name=name, argv=argv)
        own = env | (self.through(links) if links else {})
        self._launch(replace(self.specs[name], env={**spec.env, **own}), disturbed=bool(own))
        self.until(lambda: self.beats(name) or not self.alive(name))

    def links(self) -> Links:
        postgres = unquote(self.env["FOREBAY_DATABASE_URL"].partition("host=")[2]) + "/.s.PGSQL.5432"
        return Links(Proxy(postgres), Proxy(unquote(self.env["FOREBAY_REDIS_URL"].removeprefix("unix://"))))

    def through(self, links: Links) -> dict[str, str]:
        """The environment of a process that takes these ways."""
        return {
            "FOREBAY_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{links.postgres.port}/postgres?sslmode=disable",
            "FOREBAY_REDIS_URL": f"redis://127.0.0.1:{links.redis.port}/0",
        }

    def spawn(self, spec: processes.Spec) -> None:
        self.specs[spec.name] = spec
        self._launch(spec, disturbed=False)

    def _launch(self, spec: processes.Spec, *, disturbed: bool) -> None:
        self.supervisor.start(spec)
        (self.disturbed.add if disturbed else self.disturbed.discard)(spec.name)

    def again(self, name: str, *, wait: bool = True, **env: str) -> None:
        """Starts what was running under that name, with other variables where given; may wait until it serves."""
        self._launch(replace(self.specs[name], env={**self.specs[name].env, **env}), disturbed=bool(env))
        if wait and name == lineup.API:
            self.until(lambda: self.status("/healthz") == 200)
        elif wait:
            self.until(lambda: self.beats(name) or not self.alive(name))

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> float:
        """Sends the signal to the process and all it started, waits for the end; when it was sent."""
        at = time.monotonic()
        with suppress(ProcessLookupError):
            os.killpg(self.supervisor.pid(name), number)
        self.until(lambda: not self.alive(name))
        return at

    def stop(self, name: str) -> None:
        self.supervisor.stop(name)

    def freeze(self, name: str) -> None:
        """Holds the process and all it started; `thaw` lets them go on."""
        os.killpg(self.pid(name), signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        os.killpg(self.pid(name), signal.SIGCONT)

    def pid(self, name: str) -> int:
        return self.supervisor.pid(name)

    def host(self, name: str) -> psutil.Process:
        """The engine host of a worker."""
        return stacks.engine_host(psutil.Process(self.pid(name)))

    def alive(self, name: str) -> bool:
        try:
            return psutil.Process(self.pid(name)).status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, KeyError):
            return False

    def beats(self, name: str) -> bool:
        """Whether the worker that runs under the name has sent a heartbeat within the last two seconds."""
        like = f"%:{self.pid(name)}.%"
        return bool(self.rows("SELECT 1 FROM workers WHERE id LIKE %s AND beat_at > now() - interval '2 s'", like))

    def log(self, name: str) -> str:
        return self.supervisor.log(name).read_text(errors="replace")

    def status(self, path: str) -> int:
        """What the API answers; 0 when it doesn't."""
        try:
            return self._http.get(path).status_code
        except httpx.TransportError:
            return 0

    def part(self, name: str) -> str:
        """What /readyz says of a part; nothing when the API doesn't answer."""
        try:
            return str(self._http.get("/readyz").json()["parts"][name])
        except (httpx.TransportError, ValueError):
            return ""

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What PostgreSQL itself says, by a way of our own."""
        with psycopg.connect(self.servers["postgres"].url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        """Redis by a way of our own."""
        client = redis.Redis.from_url(self.servers["redis"].url, socket_timeout=60)
        yield client
        client.close()

    def until(self, met: Callable[[], object], limit_s: float | None = None) -> None:
        """Waits, as long as the subject may take unless told otherwise. Raises `TimeoutError`."""
        deadline = time.monotonic() + (limit_s or self.subject.limit_s)
        while not met():
            if time.monotonic() > deadline:
                raise TimeoutError("it did not happen")
            time.sleep(POLL_S)

    def heal(self, workers: Mapping[str, str]) -> None:
        """Has the servers, the API, the control worker and exactly these workers (name: model) run, undisturbed."""
        for name in self.servers:
            if not self.alive(name):
                self.start_server(name)
        for name in (lineup.API, lineup.CONTROL):
            if not self.alive(name) or name in self.disturbed:
                self.kill(name)
                self.again(name)
        for name in set(self.supervisor.names()) - {*self.servers, lineup.API, lineup.CONTROL, lineup.PREPARE}:
            if name not in workers or not self.alive(name) or name in self.disturbed:
                self.kill(name)
                self.stop(name)
        for name, model in workers.items():
            if name not in self.supervisor.names():
                self.worker(name, model)

    def random_file(self, name: str) -> Path:
        """Where the file of a model of random weights is to be; a row that needs it makes it."""
        return self.folder / f"{name}.gguf"

    def _catalog(self) -> str:
        subject = self.subject
        template = {"template": str(subject.template)} if subject.template else {}
        demo = {"context": subject.context, "slots": subject.slots, "file": str(subject.file), "default": True}
        sizes = {"context": RANDOM_CONTEXT, "slots": RANDOM_SLOTS}
        models = (
            catalogs.model(DEMO, "llamacpp", "generate chat", **demo, **template),
            catalogs.echo(ECHO, slots=ECHO_SLOTS, options={"token_s": 0.02, "prompt_token_s": 0.001}),
            catalogs.echo(FAST, slots=FAST_SLOTS),
            catalogs.embedder(EMBED, slots=EMBED_SLOTS),
            *(
                catalogs.model(name, "llamacpp", "generate", file=str(self.random_file(name)), **sizes)
                for name in RANDOM
            ),
        )
        return "\n".join(models)

    def _slots(self, model: str) -> int:
        known = {DEMO: self.subject.slots, ECHO: ECHO_SLOTS, FAST: FAST_SLOTS, EMBED: EMBED_SLOTS}
        return known.get(model, RANDOM_SLOTS)

    def close(self) -> None:
        names = [name for name in self.supervisor.names() if name not in self.servers]
        for name in (*names, "redis", "postgres"):
            self.supervisor.stop(name)
