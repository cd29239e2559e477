"""Webhook endpoints and the secrets that sign for them. Every function takes a session and never commits."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Session

from db.webhooks import endpoints, secrets
from db.webhooks.endpoints import Endpoint
from db.webhooks.secrets import Secret
from tasks import errors, ids
from tasks.errors import LimitReached
from tasks.keys import Caller
from tasks.settings import WebhookPolicy, WebhookSettings
from tasks.webhooks import destinations, signing
from tasks.webhooks.messages import JOB_EVENTS

MAX_ENDPOINTS = 20  # of a tenant
OVERLAP = dt.timedelta(hours=24)  # how long a secret that was replaced goes on signing beside the new one


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint as it is shown. `secret` is there when it has just been made, and never again."""

    id: uuid.UUID
    url: str
    events: tuple[str, ...]
    description: str | None
    disabled: bool
    created_at: dt.datetime
    secret: str | None = None


def create(
    session: Session,
    caller: Caller,
    settings: WebhookSettings,
    *,
    url: str,
    events: Sequence[str] = JOB_EVENTS,
    description: str | None = None,
) -> Webhook:
    """Makes an endpoint with its first secret. Raises `InvalidField` for its URL, `LimitReached`."""
    destinations.parse(url, settings.policy)
    endpoints.lock_tenant(session, caller.tenant_id)
    if endpoints.count(session, caller.tenant_id) >= MAX_ENDPOINTS:
        raise LimitReached("url", f"there are {MAX_ENDPOINTS} webhooks already, which is all that one may have")
    made = Endpoint(
        id=ids.new(),
        tenant_id=caller.tenant_id,
        url=url,
        events=sorted(set(events)),
        description=description,
        disabled=False,
    )
    session.add(made)
    session.flush()
    return _shown(made, _replace_secret(session, caller, settings, made.id))


def get(session: Session, caller: Caller, endpoint_id: uuid.UUID) -> Webhook:
    """The tenant's endpoint. Raises `NotFound`, for another tenant's too."""
    return _shown(_find(session, caller, endpoint_id))


def listed(session: Session, caller: Caller) -> list[Webhook]:
    """The tenant's endpoints, oldest first: never more than `MAX_ENDPOINTS`."""
    return [_shown(endpoint) for endpoint in endpoints.listed(session, caller.tenant_id)]


def change(
    session: Session, caller: Caller, policy: WebhookPolicy, endpoint_id: uuid.UUID, changes: Mapping[str, Any]
) -> Webhook:
    """Changes `url`, `events`, `description` or `disabled`; what is pending goes to the new URL.

    Raises `NotFound`, or `InvalidField` for the URL.
    """
    found = _find(session, caller, endpoint_id, for_update=True)
    if "url" in changes:
        destinations.parse(changes["url"], policy)
    for name, value in changes.items():
        setattr(found, name, sorted(set(value)) if name == "events" else value)
    session.flush()
    return _shown(found)


def delete(session: Session, caller: Caller, endpoint_id: uuid.UUID) -> None:
    """Deletes the endpoint with its secrets and deliveries: nobody sees them any more. Raises `NotFound`.

    `deliveries.tidy` removes what may be much.
    """
    if not endpoints.remove(session, caller.tenant_id, endpoint_id):
        raise _none(endpoint_id)


def rotate(session: Session, caller: Caller, settings: WebhookSettings, endpoint_id: uuid.UUID) -> Webhook:
    """Gives the endpoint a new secret. The one before signs beside it for a day; an older one no more.

    Raises `NotFound`.
    """
    found = _find(session, caller, endpoint_id, for_update=True)
    return _shown(found, _replace_secret(session, caller, settings, endpoint_id))


def rotate_own(session: Session, caller: Caller, settings: WebhookSettings) -> str:
    """A new secret of the tenant's own, which signs for the URLs that jobs name. The one before signs for a day more.

    A tenant that has never asked for one has an unseen secret, which signs meanwhile: `allow` makes it.
    """
    endpoints.lock_tenant(session, caller.tenant_id)
    return _replace_secret(session, caller, settings, None)


def allow(session: Session, caller: Caller, policy: WebhookPolicy, url: str) -> None:
    """Checks the URL that a job names, and makes the tenant's own secret, which signs for it, where there is none.

    Raises `InvalidField` for the URL.
    """
    destinations.parse(url, policy, "webhook.url")
    if secrets.live(session, caller.tenant_id, None):
        return
    endpoints.lock_tenant(session, caller.tenant_id)
    if not secrets.live(session, caller.tenant_id, None):
        session.add(Secret(id=ids.new(), tenant_id=caller.tenant_id, endpoint_id=None))


def _replace_secret(session: Session, caller: Caller, settings: WebhookSettings, endpoint_id: uuid.UUID | None) -> str:
    """Makes the owner's new secret; of those before only the newest lives on, for `OVERLAP`. The owner is locked."""
    kept = secrets.live(session, caller.tenant_id, endpoint_id)[:1]
    for previous in kept:
        previous.expires_at = func.now() + OVERLAP
    secrets.remove(session, caller.tenant_id, endpoint_id, but=[previous.id for previous in kept])
    made = Secret(id=ids.new(), tenant_id=caller.tenant_id, endpoint_id=endpoint_id)
    session.add(made)
    session.flush()
    return signing.secret(settings.key, made.id)


def _find(session: Session, caller: Caller, endpoint_id: uuid.UUID, *, for_update: bool = False) -> Endpoint:
    found = endpoints.find(session, caller.tenant_id, endpoint_id, for_update=for_update)
    if found is None:
        raise _none(endpoint_id)
    return found


def _none(endpoint_id: uuid.UUID) -> errors.NotFound:
    return errors.NotFound(f"no webhook {ids.show(endpoint_id, ids.WEBHOOK)}")


def _shown(found: Endpoint, secret: str | None = None) -> Webhook:
    return Webhook(
        id=found.id,
        url=found.url,
        events=tuple(found.events),
        description=found.description,
        disabled=found.disabled,
        created_at=found.created_at,
        secret=secret,
    )
