"""What clients may send about webhooks, field by field, and what they are sent."""

import marshmallow as ma
from marshmallow import fields, validate

from tasks import ids
from tasks.webhooks import deliveries
from tasks.webhooks.deliveries import Status
from tasks.webhooks.destinations import MAX_URL_LENGTH
from tasks.webhooks.endpoints import EVENTS, MAX_ENDPOINTS
from webapi.fields import STORABLE, Flag, Given, Some, Strict, characters

_TYPES = (*EVENTS, deliveries.TEST)


# What is accepted whatever the settings; these may allow http:// and addresses of one's own networks.
_PORT = "(443|102[4-9]|10[3-9][0-9]|1[1-9][0-9]{2}|[2-9][0-9]{3}|[1-5][0-9]{4}|6[0-4][0-9]{3})"
_HOST = r"([A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,3}[A-Za-z][A-Za-z0-9]{1,20}"
_PATH = r'(/[!"$-\[\]-~]*)?'  # printable ASCII without # and \
URL_PATTERN = f"^https://{_HOST}(:{_PORT})?{_PATH}$"


def _url(*, required: bool = False, allow_none: bool = False) -> fields.String:
    described = {"description": "On a public address, on port 443 or one from 1024.", "pattern": URL_PATTERN}
    length = characters(1, MAX_URL_LENGTH)
    return fields.String(validate=length, metadata=described, required=required, allow_none=allow_none)


def _events() -> Some:
    return Some(
        fields.String(validate=validate.OneOf(EVENTS)),
        len(EVENTS),
        allow_none=True,
        metadata={"description": "Which ends are told; all when not given."},
    )


class JobWebhook(Given):
    """Where the end of one job is to be told; signed with the secret of `POST /v1/webhook-secret/rotate`."""

    url = _url(required=True)
    events = _events()


def job_webhook() -> fields.Nested:
    """The field of a request for a job."""
    described = {"description": "Where the end of this job is told, beside the webhooks."}
    return fields.Nested(JobWebhook, allow_none=True, metadata=described)


class _Changes(Given):
    events = _events()
    description = fields.String(allow_none=True, validate=characters(0, 512), metadata=STORABLE)


class NewWebhook(_Changes):
    """Where the ends of all the tenant's jobs are to be told."""

    url = _url(required=True)


class WebhookChanges(_Changes):
    """What is to be different; the rest stays."""

    url = _url(allow_none=True)
    disabled = Flag(allow_none=True)


EXAMPLE = {"url": "https://example.com/hooks", "events": ["job.succeeded", "job.failed"]}

WEBHOOK_ID_IN_PATH = {
    "in": "path",
    "name": "webhook_id",
    "required": True,
    "schema": {"type": "string", "pattern": "^hook_[0-9a-f]{32}$"},
}
DELIVERY_ID_IN_PATH = {
    "in": "path",
    "name": "delivery_id",
    "required": True,
    "schema": {"type": "string", "pattern": "^dlv_[0-9a-f]{32}$"},
}


class _Id(fields.String):
    """An id of ours, with its prefix."""

    def __init__(self, prefix: str, description: str) -> None:
        super().__init__(metadata={"description": description, "pattern": f"^{prefix}[0-9a-f]{{32}}$"})
        self._prefix = prefix

    def _deserialize(self, value: object, *args: object, **kwargs: object) -> str:
        shown = str(super()._deserialize(value, *args, **kwargs))
        if ids.parse(shown, self._prefix) is None:
            raise ma.ValidationError(f"must be an id that begins with {self._prefix}")
        return shown


class DeliveriesQuery(Strict):
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100))
    after = _Id(ids.DELIVERY, "`next` of the page before.")
    webhook = _Id(ids.WEBHOOK, "Only to this webhook.")
    job = _Id(ids.JOB, "Only about this job, to webhooks and to the URL it named.")
    status = fields.String(validate=validate.OneOf(tuple(Status)))


class WebhookLinks(ma.Schema):
    self = fields.String(required=True)
    deliveries = fields.String(required=True)


class Webhook(ma.Schema):
    """One endpoint. `tasks.webhooks` renders it; this says what can be relied on."""

    id = fields.String(required=True)
    object = fields.String(required=True, metadata={"enum": ["webhook"]})
    url = fields.String(required=True)
    events = fields.List(fields.String(validate=validate.OneOf(EVENTS)), required=True)
    description = fields.String(required=True, allow_none=True)
    disabled = fields.Boolean(
        required=True, metadata={"description": "Nothing is sent: by its owner's wish, or because it answered 410."}
    )
    created_at = fields.DateTime(required=True)
    links = fields.Nested(WebhookLinks, required=True)
    secret = fields.String(metadata={"description": "`whsec_…`: only where it has just been made, and never again."})


class WebhookList(ma.Schema):
    object = fields.String(required=True, metadata={"enum": ["list"]})
    data = fields.List(
        fields.Nested(Webhook), required=True, metadata={"description": f"Never more than {MAX_ENDPOINTS}."}
    )


class NewSecret(ma.Schema):
    object = fields.String(required=True, metadata={"enum": ["webhook_secret"]})
    secret = fields.String(required=True, metadata={"description": "`whsec_…`: shown now and never again."})


class Delivery(ma.Schema):
    """One message to one URL. `tasks.deliveries` renders it; this says what can be relied on."""

    id = fields.String(required=True)
    object = fields.String(required=True, metadata={"enum": ["delivery"]})
    message_id = fields.String(
        required=True, metadata={"description": "The `webhook-id`: the same at each attempt and for each receiver."}
    )
    type = fields.String(required=True, validate=validate.OneOf(_TYPES))
    status = fields.String(required=True, validate=validate.OneOf(tuple(Status)))
    attempts = fields.Integer(
        required=True, metadata={"description": "In all, those before it was asked for again among them."}
    )
    webhook = fields.String(
        required=True, allow_none=True, metadata={"description": "Null when it goes to the URL that its job named."}
    )
    job = fields.String(required=True, allow_none=True, metadata={"description": "Null for a test."})
    url = fields.String(
        required=True, allow_none=True, metadata={"description": "That its job named; null when it goes to a webhook."}
    )
    created_at = fields.DateTime(required=True)
    next_at = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "When it is sent, or sent again; null once it ended."}
    )
    last_status = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The receiver's answer to the last attempt."}
    )
    last_error = fields.String(
        required=True, allow_none=True, metadata={"description": "Why the last attempt got no answer, as in `timeout`."}
    )


class DeliveryList(ma.Schema):
    object = fields.String(required=True, metadata={"enum": ["list"]})
    data = fields.List(fields.Nested(Delivery), required=True)
    next = fields.String(
        required=True, allow_none=True, metadata={"description": "`after` of the next page; null on the last."}
    )
