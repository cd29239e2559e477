"""What every route that makes a job does: once for its key, accepted, its wake-up sent, answered."""

from collections.abc import Callable
from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from tasks import failpoints, ids
from tasks.doors import idempotency
from tasks.doors.idempotency import Once
from tasks.jobs.view import JobView
from tasks.queues import window
from tasks.queues.window import Ticket
from tasks.webhooks import endpoints
from tasks.webhooks.endpoints import EVENTS
from webapi import auth, service
from webapi.api import reply

REPLAYED = {
    "Idempotency-Replayed": {
        "description": "`true` when the job was accepted by an earlier request with the key.",
        "schema": {"type": "string"},
    }
}


def wanted_once(headers: dict[str, str], *asked: Any) -> Once | None:
    """What the request's idempotency key stands for, if it has one."""
    return Once(headers["key"], idempotency.fingerprint(*asked)) if "key" in headers else None


def accept(wanted: Once | None, make: Callable[[Session], JobView]) -> Response:
    """Makes the job, lets it straight into the window where that has room, wakes a worker, and answers."""
    serving = service.current()
    ticket: Ticket | None = None
    with serving.sessions.begin() as session:
        accepted, replayed = idempotency.once(session, auth.caller(), wanted, lambda: make(session))
        if not replayed:
            lease_s = serving.settings.shared.lease_s
            ticket = window.admit(session, accepted.id, accepted.queue, accepted.lane, lease_s)
        failpoints.passed("api.before_commit")
    failpoints.passed("api.after_commit_before_response")
    serving.wake(accepted, ticket)
    response = reply(accepted.as_json(), 202)
    response.headers["Location"] = f"/v1/jobs/{ids.show(accepted.id)}"
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def named_webhook(session: Session, given: dict[str, Any]) -> dict[str, Any] | None:
    """Where the request says that its job's end is to be told, checked and with its events; None if it doesn't."""
    if "webhook" not in given:
        return None
    policy = service.current().settings.webhooks.policy
    endpoints.allow(session, auth.caller(), policy, given["webhook"]["url"])
    return {"events": list(EVENTS), **given["webhook"]}
