"""Ground for tests of webhooks: endpoints, jobs that end, time that passes."""

import uuid
from typing import Any

from sqlalchemy import text

from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tasks.webhooks import deliveries, endpoints
from tasks.webhooks.deliveries import DeliveryView, Parcel
from tasks.webhooks.endpoints import Webhook
from tests import tables

URL = "https://example.com/hooks"


def endpoint(sessions: Sessions, caller: Caller, url: str = URL, **options: Any) -> Webhook:
    with sessions.begin() as session:
        return endpoints.create(session, caller, tables.WEBHOOKS, url=url, **options)


def begin(sessions: Sessions, caller: Caller, **changes: Any) -> uuid.UUID:
    """A job that runs."""
    job = tables.submit(sessions, caller, **changes)
    tables.dispatch(sessions, job_id := job.id)
    assert tables.claim(sessions, job_id, queue=job.queue)
    return job_id


def end(sessions: Sessions, caller: Caller, result: dict[str, Any] | None = None, **changes: Any) -> uuid.UUID:
    """A job that has succeeded."""
    job_id = begin(sessions, caller, **changes)
    outcome = Outcome(Status.SUCCEEDED, Spent(2, 1), result or {"text": "grüße"})
    with sessions.begin() as session:
        tables.finish(session, job_id, 1, Transcript(), outcome)
    return job_id


def listed(sessions: Sessions, caller: Caller, **filters: Any) -> list[DeliveryView]:
    with sessions() as session:
        return deliveries.page(session, caller, limit=100, **filters)[0]


def take(
    sessions: Sessions, *, limit: int = 100, per_target: int = 100, per_tenant: int = 100, lease_s: float = 60
) -> list[Parcel]:
    with sessions.begin() as session:
        return deliveries.take(session, limit=limit, per_target=per_target, per_tenant=per_tenant, lease_s=lease_s)


def let_leases_run_out(sessions: Sessions) -> None:
    _pass(sessions, "leased_until = now() - interval '1 second'")


def let_days_pass(sessions: Sessions, days: int) -> None:
    """Everything that is pending is due, and so many days nearer to being given up."""
    _pass(sessions, f"next_at = now(), give_up_at = give_up_at - interval '{days} days'")


def let_months_pass(sessions: Sessions, months: int) -> None:
    """Everything, ended or not, was to be given up so much earlier."""
    with sessions.begin() as session:
        session.execute(text(f"UPDATE webhook_deliveries SET give_up_at = give_up_at - interval '{months} months'"))


def make_due(sessions: Sessions) -> None:
    _pass(sessions, "next_at = now()")


def _pass(sessions: Sessions, assignments: str) -> None:
    with sessions.begin() as session:
        session.execute(text(f"UPDATE webhook_deliveries SET {assignments} WHERE status = 'pending'"))
