"""What clients are answered about webhooks and deliveries."""

from typing import Annotated, Literal, NotRequired, TypedDict

from dialects.named import DELIVERY, JOB, WEBHOOK
from tasks import ids, times
from tasks.times import Moment
from tasks.webhooks import deliveries, endpoints
from tasks.webhooks.deliveries import Status
from tasks.webhooks.endpoints import MAX_ENDPOINTS
from tasks.webhooks.messages import EVENTS


class WebhookLinks(TypedDict):
    self: str
    deliveries: str


class Webhook(TypedDict):
    """One endpoint."""

    id: str
    object: Literal["webhook"]
    url: str
    events: list[Annotated[str, {"enum": EVENTS}]]
    description: str | None
    disabled: Annotated[bool, "Nothing is sent: by its owner's wish, or because it answered 410."]
    created_at: Moment
    links: WebhookLinks
    secret: NotRequired[Annotated[str, "`whsec_…`: only where it has just been made, and never again."]]


class WebhookList(TypedDict):
    object: Literal["list"]
    data: Annotated[list[Webhook], f"Never more than {MAX_ENDPOINTS}."]


def webhook(found: endpoints.Webhook) -> Webhook:
    shown = WEBHOOK.show(found.id)
    answer: Webhook = {
        "id": shown,
        "object": "webhook",
        "url": found.url,
        "events": list(found.events),
        "description": found.description,
        "disabled": found.disabled,
        "created_at": times.show(found.created_at),
        "links": {"self": f"/v1/webhooks/{shown}", "deliveries": f"/v1/deliveries?webhook={shown}"},
    }
    if found.secret:
        answer["secret"] = found.secret
    return answer


class NewSecret(TypedDict):
    object: Literal["webhook_secret"]
    secret: Annotated[str, "`whsec_…`: shown now and never again."]


class Delivery(TypedDict):
    """One message to one URL."""

    id: str
    object: Literal["delivery"]
    message_id: Annotated[str, "The `webhook-id`: the same at each attempt and for each receiver."]
    type: Annotated[str, {"enum": (*EVENTS, deliveries.TEST)}]
    status: Annotated[str, {"enum": tuple(Status)}]
    attempts: Annotated[int, "In all, those before it was asked for again among them."]
    webhook: Annotated[str | None, "Null when it goes to the URL that its job named."]
    job: Annotated[str | None, "Null for a test."]
    url: Annotated[str | None, "That its job named; null when it goes to a webhook."]
    created_at: Moment
    next_at: Annotated[Moment | None, "When it is sent, or sent again; null once it ended."]
    last_status: Annotated[int | None, "The receiver's answer to the last attempt."]
    last_error: Annotated[str | None, "Why the last attempt got no answer, as in `timeout`."]


def delivery(found: deliveries.DeliveryView) -> Delivery:
    return {
        "id": DELIVERY.show(found.id),
        "object": "delivery",
        "message_id": ids.show(found.message_id, ids.MESSAGE),
        "type": found.type,
        "status": found.status,
        "attempts": found.attempts,
        "webhook": WEBHOOK.show(found.endpoint_id) if found.endpoint_id else None,
        "job": JOB.show(found.job_id) if found.job_id else None,
        "url": found.url,
        "created_at": times.show(found.created_at),
        "next_at": times.show(found.next_at),
        "last_status": found.last_status,
        "last_error": found.last_error,
    }
