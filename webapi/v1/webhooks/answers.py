"""What clients are answered about webhooks and deliveries."""

import marshmallow as ma
from marshmallow import fields, validate

from tasks.webhooks import deliveries
from tasks.webhooks.deliveries import Status
from tasks.webhooks.endpoints import EVENTS, MAX_ENDPOINTS

_TYPES = (*EVENTS, deliveries.TEST)


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
