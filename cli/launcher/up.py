"""`forebay up`: everything on this machine, started, kept alive and stopped together."""

import http.client
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from cli.launcher import credentials, datafolder, embedded, given, leftovers, lineup, modelfiles, ports, processes
from cli.launcher.heartbeats import SILENT_S, Heartbeats, Listener
from tasks import errors
from tasks.models import catalog, cores

# An early death may be an accident of starting; so many are a mistake that waiting won't mend.
GIVE_UP_AFTER = 5
LOG_TAIL_LINES = 5
_MAKES = {
    "demo-embed-Q8_0.gguf": "make embedding",
    "multilingual-embed-Q4_0.gguf": "make embedding-multilingual",
}


class Stopped(Exception):
    """Someone asked us to stop before everything ran."""


@dataclass(slots=True)
class Launch:
    """One run of `forebay up`: what was asked for, and what runs by now."""

    folder: datafolder.DataFolder
    port: int
    flower_port: int
    models: Sequence[catalog.Model]
    env: dict[str, str]
    stop_asked: threading.Event
    supervisor: processes.Supervisor = field(init=False)

    def __post_init__(self) -> None:
        self.supervisor = processes.Supervisor(self.folder.logs, self.folder.record, say)

    def start(self) -> None:
        """Starts everything, in the order in which things need each other; returns when jobs can be answered."""
        say(f"starting {self._parts()}; logs are in {self.folder.logs}")
        self._make_secrets()
        self._start_servers()
        self._run(lineup.prepare(self.folder.secrets, self.env))
        self._start_platform()
        say("waiting until the workers have loaded their models")
        self.wait_until(self._is_ready)

    def run(self) -> None:
        """Keeps everything alive until asked to stop: processes by their ids, workers by their heartbeats too."""
        workers = {lineup.worker_name(model.name): model.name for model in self.models}
        listener = Listener(Heartbeats(workers | {lineup.CONTROL: lineup.CONTROL}), lambda: ask_ready(self.port))
        listener.start()
        while not self.stop_asked.wait(processes.POLL_S):
            for name in self.supervisor.tend():
                listener.died(name)
            for name in listener.silent():
                say(f"{name} lives, but has sent no heartbeat for {SILENT_S:g} s; ending it")
                self.supervisor.end(name)
        listener.stop()

    def stop(self) -> None:
        """Stops everything: first what takes jobs, then what runs them, last what keeps them."""
        say("stopping everything, which takes some seconds; jobs that aren't done go on at the next start")
        workers = [lineup.worker_name(model.name) for model in self.models]
        self.supervisor.stop(lineup.API, lineup.FLOWER, lineup.PREPARE, embedded.MAKING_POSTGRES)
        self.supervisor.stop(*workers, lineup.CONTROL)
        self.supervisor.stop(embedded.REDIS)
        self.supervisor.stop(embedded.POSTGRES)
        say("stopped")

    def ready_line(self) -> str:
        """What a program that started us waits for. The key is `none` where there is none: see `keyless`."""
        key = credentials.read(self.folder.secrets).key or "none"
        return f"ready url=http://{lineup.HOST}:{self.port} key={key}"

    def keyless(self) -> str | None:
        """What to say where there is no local key."""
        if credentials.read(self.folder.secrets).key:
            return None
        return (
            f"no local key: the tenant {credentials.TENANT} is being erased, which goes on now. "
            "Start `forebay up` again after that, and it makes a key"
        )

    def wait_until(self, met: Callable[[], bool]) -> None:
        """Keeps alive what runs until it is so. Raises `Stopped`, or `ClickException` for what keeps dying."""
        while not met():
            if self.stop_asked.wait(processes.POLL_S):
                raise Stopped
            self.supervisor.tend()
            for name in self.supervisor.names():
                if self.supervisor.deaths(name) >= GIVE_UP_AFTER:
                    raise click.ClickException(hopeless(name, self.supervisor.log(name)))

    def _parts(self) -> str:
        """All that is started, in words."""
        servers = {"PostgreSQL": "FOREBAY_DATABASE_URL", "Redis": "FOREBAY_REDIS_URL"}
        parts = [name for name, url in servers.items() if url not in self.env]
        parts += ["the API", *["Flower"] * bool(self.flower_port)]
        workers = f"a worker for each of {', '.join(model.name for model in self.models)}"
        return ", ".join([*parts, *[workers] * bool(self.models)])

    def _make_secrets(self) -> None:
        known = credentials.open_or_make(self.folder.secrets)
        given.write(self.folder.given, self.env, known.pepper, self.port, self.flower_port)
        # Several machines on one database share a pepper, or they couldn't check each other's keys.
        self.env.setdefault("FOREBAY_KEY_PEPPER", known.pepper)
        self.env.setdefault("FOREBAY_WEBHOOK_KEY", known.webhook_key)
        self.env["FLOWER_BASIC_AUTH"] = known.flower_login

    def _start_servers(self) -> None:
        """Starts the servers that the environment names no URL for, and fills in their URLs."""
        if "FOREBAY_REDIS_URL" not in self.env:
            self.env["FOREBAY_REDIS_URL"] = self._start_server(
                embedded.redis(self.folder.root, _redis_memory(self.env))
            )
        if "FOREBAY_DATABASE_URL" not in self.env:
            self._run(embedded.making_postgres(self.folder.root))
            self.env["FOREBAY_DATABASE_URL"] = self._start_server(embedded.postgres(self.folder.root))

    def _start_server(self, server: embedded.Server) -> str:
        name = server.spec.name
        self.supervisor.start(server.spec)
        self.wait_until(lambda: server.answers(self.supervisor.pid(name)))
        return server.url

    def _run(self, spec: processes.Spec) -> None:
        self.supervisor.start(spec)
        self.wait_until(lambda: not self.supervisor.keeps(spec.name))
        if self.supervisor.refused(spec.name):
            raise click.ClickException(why(self.supervisor.log(spec.name)))

    def _start_platform(self) -> None:
        threads = cores.each(self.models)
        for model in self.models:
            self.supervisor.start(lineup.worker(model.name, model.slots, threads, self.env))
        self.supervisor.start(lineup.api(self.port, self.env))
        self.supervisor.start(lineup.control(self.env))
        if self.flower_port:
            self.supervisor.start(lineup.flower(self.flower_port, self.env))

    def _is_ready(self) -> bool:
        return can_answer(ask_ready(self.port), [model.name for model in self.models])


def _redis_memory(env: Mapping[str, str]) -> str:
    """What the embedded Redis may take. Raises `ClickException` for what is no amount."""
    memory = env.get("FOREBAY_REDIS_MEMORY", embedded.REDIS_MEMORY)
    if not re.fullmatch("[1-9][0-9]*(kb|mb|gb)?", memory):
        raise click.ClickException(f"FOREBAY_REDIS_MEMORY {memory}: must be an amount as in 512mb or 2gb")
    return memory


def hopeless(name: str, log: Path) -> str:
    """What to say of a process that dies whenever it is started."""
    last = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    lines = "\n".join(f"  {line}" for line in last)
    return f"{name} ended {GIVE_UP_AFTER} times before it was ready. {log} ends with:\n{lines}"


def why(log: Path) -> str:
    """What a process that refused has said last: from the last line that isn't set in on."""
    said: list[str] = []
    for line in reversed(log.read_text(errors="replace").splitlines()):
        said.insert(0, line)
        if not line.startswith(" "):
            break
    return "\n".join(said)


def ask_ready(port: int) -> dict[str, Any] | None:
    """What the API says of the parts it needs; None while it doesn't answer."""
    connection = http.client.HTTPConnection(lineup.HOST, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return dict(json.load(connection.getresponse()))
    except (OSError, http.client.HTTPException, ValueError):  # it isn't up yet, or not whole
        return None
    finally:
        connection.close()


def can_answer(answer: dict[str, Any] | None, models: Sequence[str]) -> bool:
    """Whether a job for any of these models would be run now."""
    if answer is None:
        return False
    parts = answer["parts"]
    servers = parts["postgres"] == "ok" and parts["schema"] == "ok" and parts["redis"] == "ok"
    return servers and all(parts["workers"].get(model, 0) >= 1 for model in models)


def unserved(answer: dict[str, Any] | None) -> list[str]:
    """What to say of jobs that wait for models which aren't in the catalogue any more."""
    waiting = (answer or {}).get("parts", {}).get("unserved") or {}
    return [
        f"{count} job{'s wait' if count > 1 else ' waits'} for {model}, which isn't served: "
        f"`forebay jobs end --model {model}` ends {'them' if count > 1 else 'it'}, or serve it again"
        for model, count in waiting.items()
    ]


def say(sentence: str) -> None:
    """Tells whoever watches stderr, if anyone still does."""
    with suppress(OSError):
        click.echo(f"forebay: {sentence}", err=True)


def _tell_missed(models: catalog.Catalog) -> None:
    """Says which models are left out whose types no other serves."""
    served = {type for model in models.values() if not model.missing for type in model.types}
    for model in models.values():
        if model.missing and not served.issuperset(model.types):
            makes = _MAKES.get(model.file.name) if model.file else None
            say(f"{model.name} is left out: {model.file} isn't there" + (f". `{makes}` makes it" if makes else ""))
            served.update(model.types)


def choose(path: Path, wanted: str | None) -> list[catalog.Model]:
    """The models of the catalogue, or those named in a comma-separated list. Raises `ClickException`."""
    try:
        models = catalog.load(path)
    except errors.CatalogError as error:
        raise click.ClickException(str(error)) from error
    if wanted is None:
        wanted = ",".join(name for name, model in models.items() if not model.missing)
        _tell_missed(models)
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = [name for name in names if name not in models]
    if unknown or not names:
        raise click.ClickException(f"--models {wanted}: {path} has {', '.join(models)}")
    return [models[name] for name in dict.fromkeys(names)]


def serve_files(path: Path, files: Sequence[Path], beside: Sequence[catalog.Model]) -> list[catalog.Model]:
    """Writes the catalogue of these files and the models beside them; what is in it. Raises `ClickException`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a trial is ended with us
    modelfiles.write(path, modelfiles.serve(files, {model.name: modelfiles.entry_of(model) for model in beside}, say))
    return choose(path, None)


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    return asked


@click.command()
@datafolder.option("Where everything is kept.")
@click.option("--port", type=ports.OfApi, help=f"Of the API.  [default: {ports.API}, or the next that is free]")
@click.option(
    "--flower-port",
    type=ports.OfFlower,
    help=f"Of Flower; 0 for no Flower.  [default: {ports.FLOWER}, or the next that is free]",
)
@click.option("--models", metavar="NAME,NAME", help="Only these of the catalogue; beside --model also `none`.")
@click.option(
    "--model",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    envvar="FOREBAY_MODEL",
    metavar="FILE",
    help="Serve this GGUF file too, under its own name, and by default. May be said again.",
)
def up(data: Path, port: int | None, flower_port: int | None, models: str | None, files: tuple[Path, ...]) -> None:
    """Start everything here and keep it running until Ctrl-C.

    Prints `ready url=… key=…` when jobs can be answered. PostgreSQL and Redis are started too,
    unless FOREBAY_DATABASE_URL and FOREBAY_REDIS_URL name others.
    """
    if port is not None and port == flower_port:
        raise click.UsageError("--port and --flower-port are the same")
    path = Path(os.environ.get("FOREBAY_CATALOG", datafolder.DataFolder(data).served_by_default)).absolute()
    chosen = [] if files and models == "none" else choose(path, models)
    with datafolder.claim(data) as folder:
        for name in leftovers.end(folder.record):
            say(f"ended {name}, left over from a launcher that was killed")
        with ports.chosen(port, flower_port, say) as (port, flower_port):
            if files:
                path, chosen = folder.catalog, serve_files(folder.catalog, files, chosen)
            else:
                folder.catalog.unlink(missing_ok=True)
            env = {**os.environ, "FOREBAY_CATALOG": str(path), "PYTHONUNBUFFERED": "1"}
            keep_up(Launch(folder, port, flower_port, chosen, env, stop_on_signals()))


def keep_up(launch: Launch) -> None:
    """Starts, says so, keeps going until asked to stop, and stops, whatever happens in between."""
    try:
        launch.start()
        for sentence in filter(None, (launch.keyless(), *unserved(ask_ready(launch.port)))):
            say(sentence)
        click.echo(launch.ready_line())
        launch.run()
    except Stopped:
        pass
    finally:
        launch.stop()
