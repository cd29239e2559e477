"""What clients may send about webhooks, field by field."""

from marshmallow import fields, validate

from dialects.fields import STORABLE, Flag, Given, Some, characters
from dialects.named import DELIVERY, JOB, WEBHOOK
from tasks.webhooks.deliveries import Status
from tasks.webhooks.destinations import MAX_URL_LENGTH
from tasks.webhooks.messages import EVENTS, JOB_EVENTS
from webapi.v1.paging import AFTER, PageQuery

# What is accepted whatever the settings; these may allow http:// and addresses of one's own networks.
_PORT = "(443|102[4-9]|10[3-9][0-9]|1[1-9][0-9]{2}|[2-9][0-9]{3}|[1-5][0-9]{4}|6[0-4][0-9]{3})"
_HOST = r"([A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,3}[A-Za-z][A-Za-z0-9]{1,20}"
_PATH = r'(/[!"$-\[\]-~]*)?'  # printable ASCII without # and \
URL_PATTERN = f"^https://{_HOST}(:{_PORT})?{_PATH}$"


def _url(*, required: bool = False, allow_none: bool = False) -> fields.String:
    described = {"description": "On a public address, on port 443 or one from 1024.", "pattern": URL_PATTERN}
    length = characters(1, MAX_URL_LENGTH)
    return fields.String(validate=length, metadata=described, required=required, allow_none=allow_none)


def _events(types: tuple[str, ...], description: str) -> Some:
    one = fields.String(validate=validate.OneOf(types))
    return Some(one, len(types), allow_none=True, metadata={"description": description})


class JobWebhook(Given):
    """Where the end of one job is to be told; signed with the secret of `POST /v1/webhook-secret/rotate`."""

    url = _url(required=True)
    events = _events(JOB_EVENTS, "Which ends are told; all when not given.")


def job_webhook() -> fields.Nested:
    """The field of a request for a job."""
    described = {"description": "Where the end of this job is told, beside the webhooks."}
    return fields.Nested(JobWebhook, allow_none=True, metadata=described)


class _Changes(Given):
    events = _events(EVENTS, "What is told; to a new webhook all of `job.*` when not given.")
    description = fields.String(allow_none=True, validate=characters(0, 512), metadata=STORABLE)


class NewWebhook(_Changes):
    """Where the ends of all the tenant's jobs are to be told."""

    url = _url(required=True)


class WebhookChanges(_Changes):
    """What is to be different; the rest stays."""

    url = _url(allow_none=True)
    disabled = Flag(allow_none=True)


EXAMPLE = {"url": "https://example.com/hooks", "events": ["job.succeeded", "job.failed"]}


class DeliveriesQuery(PageQuery):
    after = DELIVERY.field(AFTER, attribute="before")
    webhook = WEBHOOK.field("Only to this webhook.")
    job = JOB.field("Only about this job, to webhooks and to the URL it named.")
    status = fields.String(validate=validate.OneOf(tuple(Status)))
