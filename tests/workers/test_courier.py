"""The courier: what is due is sent, signed, again if need be, and never twice at a time."""

import uuid
from typing import Any

import pytest
import standardwebhooks
from sqlalchemy import text

from db.session import Sessions
from tasks import deliveries, ids, jobs, webhooks
from tasks.deliveries import Shown, Status
from tasks.jobs import Outcome
from tasks.keys import Caller
from tasks.lifecycle import Status as JobStatus
from tasks.transcript import Transcript
from tasks.webhooks import Webhook
from tests import receiver, tables
from workers.courier import Courier


@pytest.fixture
def courier(sessions: Sessions) -> Courier:
    return Courier(sessions, tables.WEBHOOKS, limit_s=5)


def endpoint(sessions: Sessions, caller: Caller, url: str, **options: Any) -> Webhook:
    with sessions.begin() as session:
        return webhooks.create(session, caller, tables.WEBHOOKS, url=url, **options)


def end(sessions: Sessions, caller: Caller, result: dict[str, Any] | None = None, **changes: Any) -> uuid.UUID:
    """A job that has succeeded."""
    job_id = tables.submit(sessions, caller, **changes).id
    tables.dispatch(sessions, job_id)
    assert tables.claim(sessions, job_id)
    with sessions.begin() as session:
        jobs.finish(session, job_id, 1, Transcript(), Outcome(JobStatus.SUCCEEDED, 2, 1, result or {"text": "grüße"}))
    return job_id


def listed(sessions: Sessions, caller: Caller) -> list[Shown]:
    with sessions() as session:
        return deliveries.page(session, caller, limit=100)[0]


def carry(courier: Courier) -> None:
    """Sends all that is due, and waits for how it went."""
    while courier.send_due():
        courier.finish(30)


def make_due(sessions: Sessions, **ages_s: float) -> None:
    """Lets time pass for every pending delivery: until its next attempt, or until these times are so long ago."""
    shifts = "".join(f", {name} = now() - make_interval(secs => {age_s})" for name, age_s in ages_s.items())
    with sessions.begin() as session:
        session.execute(text(f"UPDATE webhook_deliveries SET next_at = now(){shifts} WHERE status = 'pending'"))


def test_end_of_a_job_is_told_as_the_reference_library_expects(
    sessions: Sessions, caller: Caller, courier: Courier
) -> None:
    """Headers, signature and payload are Standard Webhooks'; the data is the job object with its result."""
    with receiver.listening() as there:
        webhook = endpoint(sessions, caller, there.url)
        job_id = end(sessions, caller)
        carry(courier)
        [message] = there.messages
    assert webhook.secret
    payload = message.verified(webhook.secret)
    assert (payload["type"], payload["data"]["id"]) == ("job.succeeded", ids.show(job_id))
    assert payload["data"]["result"] == {"text": "grüße"}
    assert payload["timestamp"] == payload["data"]["finished_at"]
    assert (message.path, message.headers["content-type"]) == ("/hooks", "application/json")
    [delivery] = listed(sessions, caller)
    assert (delivery.status, delivery.attempts, delivery.last_status) == (Status.DELIVERED, 1, 204)
    assert message.id == ids.show(delivery.message_id, ids.MESSAGE)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        message.verified("whsec_" + "A" * 43 + "=")
