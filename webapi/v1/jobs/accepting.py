"""What every route that makes a job does: it is accepted once for its key, and that is answered."""

from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from tasks.doors import idempotency
from tasks.doors.idempotency import IdempotencyClaim
from tasks.doors.submitting import Make
from tasks.webhooks import endpoints
from tasks.webhooks.messages import JOB_EVENTS
from webapi import auth, requestlog, service
from webapi.api import reply

REPLAYED = {
    "Idempotency-Replayed": {
        "description": "`true` when the job was accepted by an earlier request with the key.",
        "schema": {"type": "string"},
    }
}


def wanted_once(headers: dict[str, str], *asked: Any) -> IdempotencyClaim | None:
    """What the request's idempotency key stands for, if it has one."""
    return IdempotencyClaim(headers["key"], idempotency.fingerprint(*asked)) if "key" in headers else None


def accept(wanted: IdempotencyClaim | None, make: Make) -> Response:
    """Has the job accepted, and answers that it is."""
    accepted, replayed = service.current().desk.accept(auth.caller(), make, wanted)
    requestlog.about_job(accepted.id)
    shown = accepted.as_json()
    response = reply(shown, 202)
    response.headers["Location"] = shown["links"]["self"]
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def named_webhook(session: Session, given: dict[str, Any]) -> dict[str, Any] | None:
    """Where the request says that its job's end is to be told, checked and with its events; None if it doesn't."""
    if "webhook" not in given:
        return None
    policy = service.current().settings.webhooks.policy
    endpoints.allow(session, auth.caller(), policy, given["webhook"]["url"])
    return {"events": list(JOB_EVENTS), **given["webhook"]}
