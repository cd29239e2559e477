"""What a worker reads from its environment, once."""

import os
from dataclasses import dataclass
from pathlib import Path

from environs import ValidationError, validate

from tasks import settings, stopping
from tasks.settings import OUR_FUNCTIONS, FunctionSettings, Settings, WebhookSettings

_MOST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Times in seconds. docs/settings.md says what each is for. Only the control worker is told of `webhooks`.

    `kept_s` is how long jobs are kept after their ends; None for ever.
    """

    shared: Settings
    threads: int | None
    heartbeat_s: float
    sweep_s: float
    grace_s: float
    stall_s: float
    webhooks: WebhookSettings | None = None
    functions: FunctionSettings = OUR_FUNCTIONS
    heart: Path | None = None
    watchdog: str | None = None  # the address of systemd's socket
    kept_s: float | None = None


def read(*, control: bool = False) -> WorkerSettings:
    """Reads the environment. Raises `SettingsError` naming every variable that is missing or wrong."""
    env = settings.environment()
    found = WorkerSettings(
        shared=settings.read_shared(env),
        threads=env.int("THREADS", None, validate=validate.Range(1, 1024)),
        heartbeat_s=env.float("HEARTBEAT_S", 1.0),
        sweep_s=env.float("SWEEP_S", 1.0),
        grace_s=env.float("GRACE_S", stopping.GRACE_S),
        stall_s=env.float("STALL_S", 60.0),
        webhooks=settings.read_webhooks(env) if control else None,
        functions=settings.read_functions(env),
        heart=env.path("HEART", None),
        watchdog=os.environ.get("NOTIFY_SOCKET"),
        kept_s=_seconds(env.str("RETENTION_DAYS", "", validate=_refuse_odd_days)),
    )
    settings.seal(env)
    return found


def _seconds(days: str | None) -> float | None:  # None for one that is wrong
    return float(days) * 86_400 if days else None


def _refuse_odd_days(days: str) -> None:
    try:
        number = float(days or 0)
    except ValueError as error:
        raise ValidationError("must be a number of days, such as 30 or 0.5; or empty, for ever") from error
    if not 0 <= number <= _MOST_DAYS:
        raise ValidationError(f"must be from 0 to {_MOST_DAYS}; or empty, for ever")
