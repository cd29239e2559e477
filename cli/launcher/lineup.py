"""The processes of the platform itself: the same command lines as in the Procfile."""

import signal
import sys
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.launcher import processes
from tasks import stopping
from tasks.models import catalog

ROOT = Path(__file__).resolve().parents[2]
CATALOG = ROOT / "models" / "catalog.toml"  # the one that comes with the code
HOST = "127.0.0.1"

API = "api"
CONTROL = catalog.CONTROL
CONTROL_SLOTS = 8
FLOWER = "flower"
PREPARE = "prepare"

FLOWER_TASKS = 10_000  # it remembers so many, some 20 MB

# What only one kind of process may know.
API_ONLY = ("FOREBAY_KEY_PEPPER",)
FLOWER_ONLY = ("FLOWER_BASIC_AUTH",)
# What signs webhooks: the API shows secrets, the control worker uses them.
WEBHOOK_KEY = ("FOREBAY_WEBHOOK_KEY",)
# Who watches `up` itself must not take a worker's sign of life for its own.
OURS_ALONE = ("FOREBAY_HEART", "NOTIFY_SOCKET")

Env = Mapping[str, str]


def worker_name(model: str) -> str:
    """What the worker of that model is called among the processes and in its log's name, which can't have a slash."""
    return f"worker-{urllib.parse.quote(model, safe='')}"


def prepare(secrets: Path, env: Env) -> processes.Spec:
    """Runs once, before the others."""
    return _spec(PREPARE, ["cli.launcher.prepare", str(secrets)], _without(env, FLOWER_ONLY + WEBHOOK_KEY), once=True)


def api(port: int, env: Env) -> processes.Spec:
    """The HTTP API."""
    argv = ["gunicorn", "-c", "webapi/gunicorn_conf.py", "--bind", f"{HOST}:{port}", "webapi.app:create_app()"]
    own = _without(env, FLOWER_ONLY)
    return _spec(API, argv, own, stop_limit_s=stopping.API_LIMIT_S, death_signal=signal.SIGQUIT)


def worker(model: str, slots: int, threads: int, env: Env) -> processes.Spec:
    """The worker of one model."""
    queues = f"{model}.interactive,{model}.batch"
    argv = _serve(queues, slots, f"{model}@%h")
    own = {**_without(env, API_ONLY + FLOWER_ONLY + WEBHOOK_KEY), "FOREBAY_THREADS": str(threads)}
    return _spec(worker_name(model), argv, own, stop_limit_s=_worker_limit_s(env))


def control(env: Env) -> processes.Spec:
    """The worker without a model."""
    argv = _serve("control.interactive,control.batch", CONTROL_SLOTS, "control@%h")
    own = _without(env, API_ONLY + FLOWER_ONLY)
    return _spec(CONTROL, argv, own, stop_limit_s=_worker_limit_s(env))


def flower(port: int, env: Env) -> processes.Spec:
    """The page that shows the workers."""
    # Flower reads its own command line again and knows `--name=value` only.
    own = [f"--address={HOST}", f"--port={port}", "--read-only=true", f"--max-tasks={FLOWER_TASKS}"]
    argv = ["celery", "-A", "workers.flower", "flower", *own]
    return _spec(FLOWER, argv, _without(env, API_ONLY + WEBHOOK_KEY))


def _serve(queues: str, slots: int, node: str) -> list[str]:
    return ["workers.serve", "-Q", queues, "--concurrency", str(slots), "-n", node]


def _spec(
    name: str,
    argv: Sequence[str],
    env: Env,
    *,
    stop_limit_s: float = 5.0,
    death_signal: signal.Signals = signal.SIGKILL,
    once: bool = False,
) -> processes.Spec:
    python = (sys.executable, "-m", *argv)
    own = _without(env, OURS_ALONE)
    return processes.Spec(name, python, own, ROOT, stop_limit_s=stop_limit_s, death_signal=death_signal, once=once)


def _without(env: Env, names: Sequence[str]) -> Env:
    return {name: value for name, value in env.items() if name not in names}


def _worker_limit_s(env: Env) -> float:
    try:
        grace_s = float(env["FOREBAY_GRACE_S"])
    except (KeyError, ValueError):  # a worker refuses a wrong one, and says so in its log
        grace_s = stopping.GRACE_S
    return stopping.worker_limit_s(grace_s)
