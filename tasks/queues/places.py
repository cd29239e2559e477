"""Where a waiting job stands, and when it will start."""

import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db import turns, workers
from db.jobs import Job
from tasks.jobs.lifecycle import Status

POSITION_CAP = 1000  # a position is counted to here: "1000" means a thousand or more


@dataclass(frozen=True, slots=True)
class Wait:
    """A waiting job's position: how many go before it, and the seconds until it starts where speed is known."""

    position: int
    estimated_start_s: float | None


def wait(session: Session, job_id: uuid.UUID, lease_s: float) -> Wait | None:
    """Where a waiting job stands now; None when it doesn't wait for its turn."""
    job = session.get(Job, job_id)
    if job is None or job.status not in (Status.QUEUED, Status.DISPATCHED):
        return None
    position = turns.ahead(session, job, POSITION_CAP)
    strength = workers.strength(session, job.queue, lease_s)
    if not strength.slots or strength.job_s is None:
        return Wait(position, None)
    rounds = max(0, position - strength.free + 1) / strength.slots
    return Wait(position, round(rounds * strength.job_s, 1))


def slot_is_wanted(session: Session, queue: str, lane: str, tenant_id: uuid.UUID) -> bool:
    """True when a running job of this tenant's should give its slot back: a tenant with fewer slots waits for one.

    A job gives way to waiting jobs of its own lane, a batch job to interactive ones too (docs/adr/0016).
    """
    lanes = ("interactive", "batch") if lane == "batch" else ("interactive",)
    return any(turns.less_served_waits(session, queue, other, tenant_id) for other in lanes)
