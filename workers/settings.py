"""What a worker reads from its environment, once."""

import os
from dataclasses import dataclass
from pathlib import Path

from tasks import settings, stopping
from tasks.settings import OUR_FUNCTIONS, FunctionSettings, Settings, WebhookSettings


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Times in seconds. docs/settings.md says what each is for. Only the control worker is told of `webhooks`."""

    shared: Settings
    threads: int
    heartbeat_s: float
    sweep_s: float
    grace_s: float
    stall_s: float
    webhooks: WebhookSettings | None = None
    functions: FunctionSettings = OUR_FUNCTIONS
    heart: Path | None = None
    watchdog: str | None = None  # the address of systemd's socket


def read(*, control: bool = False) -> WorkerSettings:
    """Reads the environment. Raises `SettingsError` naming every variable that is missing or wrong."""
    env = settings.environment()
    found = WorkerSettings(
        shared=settings.read_shared(env),
        threads=env.int("THREADS", os.cpu_count() or 1),
        heartbeat_s=env.float("HEARTBEAT_S", 1.0),
        sweep_s=env.float("SWEEP_S", 1.0),
        grace_s=env.float("GRACE_S", stopping.GRACE_S),
        stall_s=env.float("STALL_S", 60.0),
        webhooks=settings.read_webhooks(env) if control else None,
        functions=settings.read_functions(env),
        heart=env.path("HEART", None),
        watchdog=os.environ.get("NOTIFY_SOCKET"),
    )
    settings.seal(env)
    return found
