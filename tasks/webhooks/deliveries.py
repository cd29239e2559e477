"""Deliveries: what is to be sent where, when again, and how it went. Every function takes a session, none commits.

A delivery is a row, written in the transaction that ends its job; so there is one exactly when the job has ended. It
is sent at least once, under the same message id each time, for up to three days.
"""

import datetime as dt
import enum
import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Session

from db.webhooks import deliveries, endpoints, secrets
from db.webhooks.deliveries import Delivery
from tasks import errors, ids
from tasks.keys import Caller
from tasks.webhooks import messages

TEST = "webhook.test"

# Standard Webhooks' schedule, seconds after the attempt before; the last is cut short by the three days.
_GAPS_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
_JITTER = 0.1
_GIVE_UP_AFTER = dt.timedelta(days=3)
_MAX_RETRY_AFTER_S = 86_400

MAX_TESTS = 100  # pending for one webhook
KEPT = dt.timedelta(days=30)  # how long, at least, a delivery is listed after its end

DISABLED = "webhook_disabled"
INTERNAL = "internal"  # a slip of ours kept us from an answer, or from writing down how it went
GONE = 410


class Status(enum.StrEnum):
    PENDING = "pending"  # to be sent, now or later
    DELIVERED = "delivered"  # its receiver said so
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that has happened to a job of a tenant's, as those are told who listen.

    `told` makes the whole message of a type under an id, and is called only where somebody listens. `named` is where
    else than to the endpoints it is to be told: a `url`, and the types of `events` that are told there; `told_there`
    makes the message for that URL, where it isn't the one of all.
    """

    job_id: uuid.UUID
    told: Callable[[str, uuid.UUID], dict[str, Any]]
    named: Mapping[str, Any] | None = None
    told_there: Callable[[], dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery taken to be sent: `attempt` is the licence to write how it went.

    `url` is None where its webhook is disabled; `secret_ids` are those that sign, newest first.
    """

    id: uuid.UUID
    tenant_id: uuid.UUID
    endpoint_id: uuid.UUID | None
    message_id: str
    attempt: int
    url: str | None
    payload: str
    secret_ids: tuple[uuid.UUID, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt went: the receiver's status, or the error that kept us from one. No body is kept."""

    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery as it is shown. `next_at` is None once it has ended."""

    id: uuid.UUID
    message_id: uuid.UUID
    type: str
    status: str
    attempts: int
    endpoint_id: uuid.UUID | None
    job_id: uuid.UUID | None
    url: str | None
    created_at: dt.datetime
    next_at: dt.datetime | None
    last_status: int | None
    last_error: str | None


def note(session: Session, tenant_id: uuid.UUID, type: str, notices: Iterable[Notice]) -> None:
    """Writes down where the tenant wants to be told that this happened to jobs, in the transaction in which it does."""
    listening = endpoints.listening(session, tenant_id, type)
    made: list[dict[str, Any]] = []
    for notice in notices:
        targets: list[dict[str, Any]] = [{"endpoint_id": endpoint_id} for endpoint_id in listening]
        message_id = ids.new()
        if notice.named and type in notice.named["events"]:
            there: dict[str, Any] = {"url": notice.named["url"]}
            if notice.told_there is None:
                targets.append(there)
            else:
                payload = messages.compact(notice.told_there())
                made.append(_new(tenant_id, message_id, type, payload, job_id=notice.job_id, **there))
        if targets:
            payload = messages.compact(notice.told(type, message_id))
            made += [_new(tenant_id, message_id, type, payload, job_id=notice.job_id, **target) for target in targets]
    deliveries.add(session, made, _GIVE_UP_AFTER)


def test(session: Session, caller: Caller, endpoint_id: uuid.UUID) -> DeliveryView:
    """Sends the endpoint a message that says nothing, in the form of its events. It fails where that is disabled.

    Raises `NotFound`, `LimitReached`.
    """
    found = endpoints.find(session, caller.tenant_id, endpoint_id, for_update=True)
    if found is None:
        raise errors.NotFound(f"no webhook {ids.show(endpoint_id, ids.WEBHOOK)}")
    if deliveries.waiting(session, endpoint_id, TEST, MAX_TESTS) == MAX_TESTS:
        raise errors.LimitReached("webhook_id", f"{MAX_TESTS} test messages wait to be sent there already")
    message_id, now, shown = ids.new(), dt.datetime.now(dt.UTC), ids.show(endpoint_id, ids.WEBHOOK)
    if set(found.events).isdisjoint(messages.JOB_EVENTS):
        told = messages.event(TEST, message_id, now, shown)
    else:
        told = messages.message(TEST, now, {"webhook": shown})
    made = _new(caller.tenant_id, message_id, TEST, messages.compact(told), endpoint_id=endpoint_id)
    deliveries.add(session, [made], _GIVE_UP_AFTER)
    return _shown(session.get_one(Delivery, made["id"]))


def page(
    session: Session,
    caller: Caller,
    *,
    limit: int,
    before: uuid.UUID | None = None,
    webhook: uuid.UUID | None = None,
    job: uuid.UUID | None = None,
    status: str | None = None,
) -> tuple[list[DeliveryView], bool]:
    """The tenant's deliveries, newest first, at most `limit` of those older than `before`; True when there are more."""
    filters: dict[str, Any] = {"endpoint_id": webhook, "job_id": job, "status": status}
    found = deliveries.page(session, caller.tenant_id, limit=limit + 1, before=before, **filters)
    return [_shown(delivery) for delivery in found[:limit]], len(found) > limit


def redeliver(session: Session, caller: Caller, delivery_id: uuid.UUID) -> DeliveryView:
    """Sends the same message again, now and, if need be, for another three days, by the schedule from its beginning.

    Raises `NotFound`; `Conflict` for one whose words are erased with its job's.
    """
    found = deliveries.find(session, caller.tenant_id, delivery_id)
    if found is None:
        raise errors.NotFound(f"no delivery {ids.show(delivery_id, ids.DELIVERY)}")
    if not found.payload:
        raise errors.Conflict(f"{ids.show(delivery_id, ids.DELIVERY)} wasn't kept: what it said is erased")
    found.attempts_before = found.attempts
    found.status, found.next_at, found.give_up_at = Status.PENDING, func.now(), func.now() + _GIVE_UP_AFTER
    session.flush()
    session.refresh(found, ["next_at"])
    return _shown(found)


def any_due(session: Session) -> bool:
    """Whether there may be something for `take`; to be asked before anything else, since it asks beside the session."""
    return deliveries.any_due(session)


def take(session: Session, *, limit: int, per_target: int, per_tenant: int, lease_s: float) -> list[Parcel]:
    """Takes due deliveries, each under a lease: one with no answer recorded in time, another courier may take.

    What was tried and is a day past its time has had attempts that never told how they went, and fails instead. The
    caller commits before it sends.
    """
    rows = deliveries.claim(session, limit=limit, per_target=per_target, per_tenant=per_tenant, lease_s=lease_s)
    parcels = []
    for found, endpoint, overdue in rows:
        if overdue and found.attempts > found.attempts_before + 1:
            deliveries.mark(
                session, found.id, status=Status.FAILED, next_at=None, last_error=INTERNAL, last_status=None
            )
            continue
        signing = secrets.live(session, found.tenant_id, found.endpoint_id)
        url = found.url if endpoint is None else None if endpoint.disabled else endpoint.url
        parcels.append(_parcel(found, url, [secret.id for secret in signing]))
    return parcels


def record_answer(session: Session, parcel: Parcel, answer: Answer) -> None:
    """Writes how an attempt went: delivered, to be sent again, or given up. 410 disables its webhook, if it is still
    there that it goes to.

    Does nothing when the lease ran out and another attempt was begun.
    """
    before = deliveries.hold(session, parcel.id, parcel.attempt)
    if before is None:
        return
    values: dict[str, Any] = {"status": Status.DELIVERED if answer.ok else Status.FAILED, "next_at": None}
    if not answer.ok and answer.status != GONE and answer.error != DISABLED:
        # One that was under way when it was asked for again is the first of the new schedule.
        again_s = wait_s(max(1, parcel.attempt - before), answer)
        values |= deliveries.later(again_s) if again_s is not None else {}
    deliveries.mark(session, parcel.id, last_status=answer.status, last_error=answer.error, **values)
    if answer.status == GONE and parcel.endpoint_id and parcel.url:
        endpoints.disable(session, parcel.tenant_id, parcel.endpoint_id, parcel.url)


def tidy(session: Session, limit: int) -> int:
    """Removes deliveries of deleted webhooks, and those that ended long ago, at most `limit` of each. How many."""
    return deliveries.remove_deleted_endpoints(session, limit) + deliveries.remove_ended(session, KEPT, limit)


def wait_s(attempts: int, answer: Answer) -> float | None:
    """Seconds until the next attempt after so many: the schedule's with jitter, or what the receiver asked for.

    None when there is none left.
    """
    if attempts > len(_GAPS_S):
        return None
    asked_s = min(answer.retry_after_s or 0, _MAX_RETRY_AFTER_S)
    return max(_GAPS_S[attempts - 1], asked_s) * (1 + random.uniform(0, _JITTER))  # noqa: S311 - spreads load


def _new(
    tenant_id: uuid.UUID,
    message_id: uuid.UUID,
    type: str,
    payload: str,
    *,
    endpoint_id: uuid.UUID | None = None,
    url: str | None = None,
    job_id: uuid.UUID | None = None,
) -> dict[str, Any]:
    return {
        "id": ids.new(),
        "tenant_id": tenant_id,
        "endpoint_id": endpoint_id,
        "target_id": endpoint_id or tenant_id,
        "job_id": job_id,
        "message_id": message_id,
        "type": type,
        "url": url,
        "payload": payload,
        "status": Status.PENDING,
        "attempts": 0,
    }


def _parcel(found: Delivery, url: str | None, secret_ids: Sequence[uuid.UUID]) -> Parcel:
    return Parcel(
        id=found.id,
        tenant_id=found.tenant_id,
        endpoint_id=found.endpoint_id,
        message_id=ids.show(found.message_id, ids.MESSAGE),
        attempt=found.attempts,
        url=url,
        payload=found.payload,
        secret_ids=tuple(secret_ids),
    )


def _shown(found: Delivery) -> DeliveryView:
    return DeliveryView(
        id=found.id,
        message_id=found.message_id,
        type=found.type,
        status=found.status,
        attempts=found.attempts,
        endpoint_id=found.endpoint_id,
        job_id=found.job_id,
        url=found.url,
        created_at=found.created_at,
        next_at=found.next_at,
        last_status=found.last_status,
        last_error=found.last_error,
    )
