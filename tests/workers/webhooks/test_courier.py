"""The courier: what is due is sent, signed, again if need be, and nobody waits for who is slow."""

import datetime as dt
import threading
import time
from dataclasses import replace

import pytest
import standardwebhooks
from sqlalchemy import text

from db.session import Sessions
from tasks import ids
from tasks.keys import Caller
from tasks.models import catalog
from tasks.settings import WebhookPolicy, WebhookSettings
from tasks.telemetry import DeliverySent, Fact
from tasks.webhooks import deliveries, endpoints
from tasks.webhooks.deliveries import Status
from tests import hooks, receiver, tables
from tests.support.waiting import until
from tests.workers.conftest import MakeWorker
from workers import threads
from workers.webhooks.courier import PER_TARGET, PER_TENANT, Courier


@pytest.fixture
def courier(sessions: Sessions) -> Courier:
    return Courier(sessions, tables.WEBHOOKS, limit_s=60)


def carry(courier: Courier) -> None:
    """Sends all that is due, and waits for how it went."""
    while courier.send_due():
        courier.finish(30)


def test_end_of_a_job_is_told_as_the_reference_library_expects(
    sessions: Sessions, caller: Caller, courier: Courier, facts: list[Fact]
) -> None:
    """Headers, signature and payload are Standard Webhooks'; the data is the job object with its result."""
    with receiver.listening() as there:
        webhook = hooks.endpoint(sessions, caller, there.url)
        job_id = hooks.end(sessions, caller)
        carry(courier)
        [message] = there.messages
    assert webhook.secret
    payload = message.verified(webhook.secret)
    assert (payload["type"], payload["data"]["id"]) == ("job.succeeded", ids.show(job_id))
    assert payload["data"]["result"] == {"text": "grüße"}
    assert payload["timestamp"] == payload["data"]["finished_at"]
    assert (message.path, message.headers["content-type"]) == ("/hooks", "application/json")
    [delivery] = hooks.listed(sessions, caller)
    assert (delivery.status, delivery.attempts, delivery.last_status) == (Status.DELIVERED, 1, 204)
    assert message.id == ids.show(delivery.message_id, ids.MESSAGE)
    assert facts[-1] == DeliverySent(delivery.id, 204, None)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        message.verified("whsec_" + "A" * 43 + "=")


def test_job_may_name_its_own_receiver(sessions: Sessions, caller: Caller, courier: Courier) -> None:
    """It is signed with the tenant's own secret, and carries the same id as what the endpoints are sent."""
    with sessions.begin() as session:
        secret = endpoints.rotate_own(session, caller, tables.WEBHOOKS)
    with receiver.listening() as there, receiver.listening() as general:
        hooks.endpoint(sessions, caller, general.url)
        hooks.end(sessions, caller, webhook={"url": there.url + "?of=this", "events": ["job.succeeded"]})
        hooks.end(sessions, caller, webhook={"url": there.url, "events": ["job.failed"]})
        carry(courier)
        [message], twice = there.messages, general.messages
    assert (message.path, message.verified(secret)["type"]) == ("/hooks?of=this", "job.succeeded")
    assert len(twice) == 2
    assert message.id in {other.id for other in twice}


@pytest.mark.parametrize(
    ("bad", "status", "error"),
    [
        (receiver.status(500), 500, None),
        (receiver.status(404, b"?" * 10_000), 404, None),
        (receiver.status(302, Location="http://169.254.169.254/"), 302, None),
        (receiver.hang, None, "timeout"),
        (receiver.drip, None, "timeout"),
        (receiver.reset, None, "disconnected"),
    ],
)
def test_failure_is_tried_again_with_the_same_id(
    sessions: Sessions, caller: Caller, courier: Courier, bad: receiver.Answer, status: int | None, error: str | None
) -> None:
    """The id stays, the time of the attempt is new and signed, and the next attempt is due by the schedule."""
    impatient = Courier(sessions, tables.WEBHOOKS, limit_s=0.5 if error == "timeout" else 60)
    with receiver.listening(bad, receiver.status(200)) as there:
        webhook = hooks.endpoint(sessions, caller, there.url)
        hooks.end(sessions, caller)
        carry(impatient)
        [failed] = hooks.listed(sessions, caller)
        assert (failed.status, failed.last_status, failed.last_error) == (Status.PENDING, status, error)
        assert failed.next_at
        assert failed.next_at > failed.created_at
        until(lambda: int(time.time()) > int(there.messages[0].headers["webhook-timestamp"]))
        hooks.make_due(sessions)
        carry(courier)
        first, second = there.messages
    assert webhook.secret
    assert first.verified(webhook.secret) == second.verified(webhook.secret)
    assert (first.id, first.body) == (second.id, second.body)
    assert int(first.headers["webhook-timestamp"]) < int(second.headers["webhook-timestamp"])
    [delivered] = hooks.listed(sessions, caller)
    assert (delivered.status, delivered.attempts, delivered.next_at) == (Status.DELIVERED, 2, None)


def test_gone_disables_the_webhook_and_what_it_was_still_to_get(
    sessions: Sessions, caller: Caller, courier: Courier
) -> None:
    """410 means never again: nothing more is sent, nothing more is written down for it."""
    with receiver.listening(receiver.status(410)) as there:
        webhook = hooks.endpoint(sessions, caller, there.url)
        for _ in range(PER_TARGET + 2):
            hooks.end(sessions, caller)
        carry(courier)
        assert len(there.messages) == PER_TARGET
        hooks.end(sessions, caller)
    found = hooks.listed(sessions, caller)
    assert [delivery.status for delivery in found] == [Status.FAILED] * (PER_TARGET + 2)
    assert {delivery.last_error for delivery in found} == {None, "webhook_disabled"}
    with sessions() as session:
        assert endpoints.get(session, caller, webhook.id).disabled


def test_both_secrets_sign_after_a_rotation(sessions: Sessions, caller: Caller, courier: Courier) -> None:
    """Receivers change over when they like; a second rotation ends the oldest."""
    with receiver.listening() as there:
        secrets = [hooks.endpoint(sessions, caller, there.url)]
        for _ in range(2):
            with sessions.begin() as session:
                secrets.append(endpoints.rotate(session, caller, tables.WEBHOOKS, secrets[0].id))
            hooks.end(sessions, caller)
            carry(courier)
        once, twice = there.messages
    first, second, third = (str(webhook.secret) for webhook in secrets)
    assert once.verified(first) == once.verified(second)
    assert twice.verified(second) == twice.verified(third)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        twice.verified(first)


def test_address_that_may_not_be_reached_gets_no_packet(sessions: Sessions, caller: Caller) -> None:
    """Checked at every attempt, not only when the webhook was made: here the settings have changed since."""
    strict = Courier(sessions, WebhookSettings(tables.WEBHOOK_KEY, WebhookPolicy(allow_http=True)), 5)
    with receiver.listening() as there:
        hooks.endpoint(sessions, caller, there.url)
        hooks.endpoint(sessions, caller, f"http://localhost:{there.port}/")
        hooks.end(sessions, caller)
        carry(strict)
        assert there.messages == []
    assert {d.last_error for d in hooks.listed(sessions, caller)} == {"url_refused", "address_refused"}


def test_slow_receiver_holds_nobody_up(sessions: Sessions, caller: Caller, courier: Courier) -> None:
    """One that hangs has a few hands busy; the tenant's other webhook and the other tenant's are served meanwhile."""
    other = tables.tenant(sessions, "other")
    with receiver.listening(receiver.hang) as slow, receiver.listening() as fast, receiver.listening() as foreign:
        for who, there in ((caller, slow), (caller, fast), (other, foreign)):
            hooks.endpoint(sessions, who, there.url)
        for _ in range(20):
            hooks.end(sessions, caller)
            hooks.end(sessions, other)

        def all_served() -> bool:
            courier.send_due()
            return min(len(fast.messages), len(foreign.messages)) >= 20

        until(all_served)
        assert len(slow.messages) <= PER_TARGET < PER_TENANT
        slow.released.set()
        courier.finish(30)


def test_slip_of_ours_costs_an_attempt_and_no_more(sessions: Sessions, caller: Caller) -> None:
    """What nobody foresaw is written down and tried again by the schedule, not at every end of a lease."""
    key = "\N{LATIN SMALL LETTER E WITH ACUTE}\udcff"  # of an environment that isn't UTF-8: it can't be encoded
    hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    carry(Courier(sessions, WebhookSettings(key, tables.WEBHOOKS.policy)))
    [delivery] = hooks.listed(sessions, caller)
    assert (delivery.status, delivery.attempts, delivery.last_error) == (Status.PENDING, 1, "internal")
    assert delivery.next_at
    assert delivery.next_at > delivery.created_at + dt.timedelta(seconds=4)


def test_hand_that_cannot_begin_is_free_again(sessions: Sessions, caller: Caller, courier: Courier) -> None:
    """Where the system has no thread to give, what was taken is sent when its lease has run out."""
    with receiver.listening() as there:
        hooks.endpoint(sessions, caller, there.url)
        hooks.end(sessions, caller)
        usual = threading.stack_size(2**50)  # more than there are addresses
        try:
            with pytest.raises(RuntimeError, match="start new thread"):
                courier.send_due()
        finally:
            threading.stack_size(usual)
        assert courier._out == set()
        hooks.let_leases_run_out(sessions)
        carry(courier)
        assert len(there.messages) == 1


def test_round_tidies(sessions: Sessions, caller: Caller, courier: Courier) -> None:
    """What nobody is to see any more is removed beside the sending."""
    webhook = hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    with sessions.begin() as session:
        endpoints.delete(session, caller, webhook.id)
    courier.round()
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM webhook_deliveries")) == 0
        assert session.scalar(text("SELECT count(*) FROM webhook_endpoints")) == 0


def test_control_worker_delivers_beside_everything_else(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Its courier is one of its threads; a worker of a model has none, nor the key."""
    control, other = make_worker(catalog.CONTROL), make_worker()
    control.settings = replace(control.settings, webhooks=tables.WEBHOOKS)
    started = [*threads.start(control), *threads.start(other)]
    [courier] = [thread for thread in started if thread.name == "courier"]
    with receiver.listening() as there:
        hooks.endpoint(sessions, caller, there.url)
        hooks.end(sessions, caller)
        there.until(1)
        control.draining.set()
        courier.join(60)
        assert not courier.is_alive()
        hooks.end(sessions, caller)
        assert len(there.messages) == 1
    for worker in (control, other):
        worker.gone.set()
    for thread in started:
        thread.join(60)


def test_message_is_sent_again_when_the_database_could_not_be_told(
    sessions: Sessions, caller: Caller, courier: Courier
) -> None:
    """Sent and not marked: when the lease has run out, the same message goes out again."""
    with receiver.listening() as there:
        hooks.endpoint(sessions, caller, there.url)
        hooks.end(sessions, caller)
        [parcel] = hooks.take(sessions)
        courier._send(parcel)
        assert courier.send_due() == 0
        hooks.let_leases_run_out(sessions)
        carry(courier)
        first, second = there.messages
    assert first.id == second.id
    with sessions.begin() as session:
        deliveries.record_answer(session, parcel, deliveries.Answer(500))
    [delivery] = hooks.listed(sessions, caller)
    assert (delivery.status, delivery.attempts) == (Status.DELIVERED, 2)
