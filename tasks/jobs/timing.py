"""When a job may start, when it must have started, and how long it may run. PostgreSQL's clock decides."""

import datetime as dt
from dataclasses import dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tasks.errors import InvalidField

MAX_AHEAD_DAYS = 30
MAX_QUEUE_S = MAX_AHEAD_DAYS * 86_400
MAX_DEADLINE_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Timing:
    """What a client says of a job's times, which are aware.

    It starts at `run_at` or later. It is expired unless it has started by `expires_at`, and within `max_queue_s`
    seconds of when it may start. It may run for `deadline_s` seconds, from its first start to its end.
    """

    run_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    max_queue_s: int | None = None
    deadline_s: int | None = None


ANY_TIME = Timing()


def resolved(session: Session, timing: Timing) -> Timing:
    """The timing with the earlier of both expiries in `expires_at`. Raises `InvalidField` for times that can't be."""
    run_at, expires_at, max_queue_s = timing.run_at, timing.expires_at, timing.max_queue_s
    if run_at is None and expires_at is None and max_queue_s is None:
        return timing
    now = session.scalars(select(func.now())).one()
    for field, moment in (("run_at", run_at), ("expires_at", expires_at)):
        if moment is not None:
            _refuse_far(field, moment, now)
    if run_at is not None and expires_at is not None and run_at >= expires_at:
        raise InvalidField("run_at", "must be before expires_at")
    if max_queue_s is not None:
        patience = (run_at or now) + dt.timedelta(seconds=max_queue_s)
        expires_at = min(expires_at or patience, patience)
    return replace(timing, expires_at=expires_at, max_queue_s=None)


def _refuse_far(field: str, moment: dt.datetime, now: dt.datetime) -> None:
    if moment <= now:
        raise InvalidField(field, "must be in the future")
    if moment > now + dt.timedelta(days=MAX_AHEAD_DAYS):
        raise InvalidField(field, f"must be within {MAX_AHEAD_DAYS} days")
