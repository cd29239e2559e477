"""Webhook endpoints and secrets: limits, rotation, and what a database gives away."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from db.session import Sessions
from db.webhooks import secrets
from tasks import errors, ids
from tasks.keys import Caller
from tasks.webhooks import endpoints, signing
from tasks.webhooks.endpoints import MAX_ENDPOINTS
from tests import hooks, tables


def live(sessions: Sessions, caller: Caller, endpoint: endpoints.Webhook | None) -> list[str]:
    """The texts of the secrets that sign, newest first."""
    with sessions() as session:
        found = secrets.live(session, caller.tenant_id, endpoint.id if endpoint else None)
        return [signing.secret(tables.WEBHOOKS.key, secret.id) for secret in found]


def test_tenant_has_so_many_webhooks_and_no_more(sessions: Sessions, caller: Caller) -> None:
    """Also when they are asked for at the same moment; another tenant's don't count."""
    barrier = threading.Barrier(4)
    for _ in range(MAX_ENDPOINTS - 2):
        hooks.endpoint(sessions, caller)

    def make(_: int) -> str | None:
        barrier.wait()
        try:
            hooks.endpoint(sessions, caller)
        except errors.LimitReached as error:
            return error.field
        return None

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(4)), key=str) == [None, None, "url", "url"]
    hooks.endpoint(sessions, tables.tenant(sessions, "other"))


def test_secret_that_was_replaced_signs_for_a_day(sessions: Sessions, caller: Caller) -> None:
    """At most two live at once: the newest, and the one before until its day is over."""
    made = hooks.endpoint(sessions, caller)
    assert live(sessions, caller, made) == [made.secret]
    with sessions.begin() as session:
        second = endpoints.rotate(session, caller, tables.WEBHOOKS, made.id)
    assert live(sessions, caller, made) == [second.secret, made.secret]
    with sessions.begin() as session:
        session.execute(text("UPDATE webhook_secrets SET expires_at = expires_at - interval '23 hours'"))
    assert live(sessions, caller, made) == [second.secret, made.secret]
    with sessions.begin() as session:
        session.execute(text("UPDATE webhook_secrets SET expires_at = expires_at - interval '1 hour'"))
    assert live(sessions, caller, made) == [second.secret]


def test_own_secret_is_each_tenants(sessions: Sessions, caller: Caller) -> None:
    """It is there from the first job that names a receiver, and can be asked for before that or after."""
    other = tables.tenant(sessions, "other")
    barrier = threading.Barrier(4)

    def allow(_: int) -> None:
        with sessions.begin() as session:
            barrier.wait()
            endpoints.allow(session, caller, tables.WEBHOOKS.policy, hooks.URL)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(allow, range(4)))
    [unseen] = live(sessions, caller, None)
    with sessions.begin() as session:
        first = endpoints.rotate_own(session, caller, tables.WEBHOOKS)
    assert live(sessions, caller, None) == [first, unseen]
    with sessions.begin() as session:
        second = endpoints.rotate_own(session, caller, tables.WEBHOOKS)
    assert live(sessions, caller, None) == [second, first]
    assert live(sessions, other, None) == []


def test_database_holds_no_secret(sessions: Sessions, caller: Caller) -> None:
    """Without the key its rows sign nothing: what is stored is that a secret exists."""
    made = hooks.endpoint(sessions, caller)
    with sessions() as session:
        [(secret_id, row)] = session.execute(text("SELECT id, webhook_secrets::text FROM webhook_secrets")).all()
    assert made.secret
    assert made.secret.removeprefix(signing.PREFIX)[:12] not in row
    assert signing.secret("another key", secret_id) != made.secret == signing.secret(tables.WEBHOOK_KEY, secret_id)


def test_unknown_and_foreign_webhooks_are_alike(sessions: Sessions, caller: Caller) -> None:
    """Whatever is asked of them, and nothing of them changes."""
    theirs = hooks.endpoint(sessions, tables.tenant(sessions, "other"))
    for endpoint_id in (theirs.id, ids.new()):
        with sessions.begin() as session:
            for ask in (
                lambda s, i: endpoints.get(s, caller, i),
                lambda s, i: endpoints.change(s, caller, tables.WEBHOOKS.policy, i, {"disabled": True}),
                lambda s, i: endpoints.rotate(s, caller, tables.WEBHOOKS, i),
                lambda s, i: endpoints.delete(s, caller, i),
            ):
                with pytest.raises(errors.NotFound):
                    ask(session, endpoint_id)
