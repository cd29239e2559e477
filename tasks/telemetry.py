"""Facts about what happens to jobs and workers, told where it happens to whoever listens: the log, for now.

The facts are in docs/telemetry.md. They hold ids, names and numbers, never what a tenant said. Metrics and traces are
further adapters: something is told by `emit` once, and each of them makes of it what it wants.
"""

import dataclasses
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from tasks import ids

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobAccepted:
    """A job was written down; it won't be lost from here on."""

    job_id: uuid.UUID
    kind: str
    model: str
    lane: str


@dataclass(frozen=True, slots=True)
class JobClaimed:
    """A worker took a job for a stage. `waited_s` is how long it could have been taken before; None but for the first.

    An attempt after the first waited for reasons of its own: another stage, a pause after a failure, a lease.
    """

    job_id: uuid.UUID
    attempt: int
    stage: str
    queue: str
    waited_s: float | None


@dataclass(frozen=True, slots=True)
class FirstToken:
    """An attempt has the first piece of its job's answer, so long after its claim."""

    job_id: uuid.UUID
    attempt: int
    model: str
    after_s: float


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job has ended, committed, by its attempt or from outside; with what it spent, over all its attempts."""

    job_id: uuid.UUID
    kind: str
    model: str
    status: str
    error_code: str | None
    prompt_tokens: int
    completion_tokens: int
    embedding_tokens: int


@dataclass(frozen=True, slots=True)
class StreamRestarted:
    """A reader was told to forget what it has: what it read was lost with Redis before anyone had kept it."""

    job_id: uuid.UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class EngineLost:
    """The engine host of a model died or was ended while it worked."""

    model: str
    error: str


@dataclass(frozen=True, slots=True)
class DeliverySent:
    """A webhook was called, and answered with `status`, or not: `error` says why."""

    delivery_id: uuid.UUID
    status: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class SweepRound:
    """A process has had its round of the sweep, of so long. Others that found it at work have had none."""

    took_s: float
    sent: int
    refilled: int
    ended: int


Fact = JobAccepted | JobClaimed | FirstToken | JobEnded | StreamRestarted | EngineLost | DeliverySent | SweepRound
Adapter = Callable[[Fact], None]

# The name of each fact's line in the log, and its level. What a request's own line tells, or what comes every second,
# is for those who look for it.
LINES: dict[type[Fact], tuple[str, str]] = {
    JobAccepted: ("accepted", "debug"),
    JobClaimed: ("claimed", "info"),
    FirstToken: ("first_token", "debug"),
    JobEnded: ("ended", "info"),
    StreamRestarted: ("stream_restarted", "warning"),
    EngineLost: ("engine_lost", "warning"),
    DeliverySent: ("sent", "info"),
    SweepRound: ("swept", "debug"),
}
_PREFIXES = {"job_id": ids.JOB, "delivery_id": ids.DELIVERY}


def to_log(fact: Fact) -> None:
    """The adapter for the log: a line for each fact, its times rounded to milliseconds."""
    event, level = LINES[type(fact)]
    getattr(log, level)(event, **{name: _shown(name, value) for name, value in _fields(fact).items()})


_adapters: list[Adapter] = [to_log]


def register(adapter: Adapter) -> Callable[[], None]:
    """Has the adapter told of every fact from now on, until the function that is returned is called."""
    _adapters.append(adapter)
    return lambda: _adapters.remove(adapter)


def emit(fact: Fact) -> None:
    """Tells every adapter, in the thread that calls. One that raises is logged, and changes nothing for anyone."""
    for adapter in tuple(_adapters):
        try:
            adapter(fact)
        except Exception:  # an adapter's boundary: whoever counts must not stop what is counted
            log.exception("adapter_failed", fact=type(fact).__name__)


def _fields(fact: Fact) -> dict[str, object]:
    return {field.name: getattr(fact, field.name) for field in dataclasses.fields(fact)}


def _shown(name: str, value: object) -> object:
    if isinstance(value, uuid.UUID):
        return ids.show(value, _PREFIXES[name])
    return round(value, 3) if isinstance(value, float) else value
