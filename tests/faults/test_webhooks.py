"""F39: the process that sends webhooks is killed after a message has left and before that is written down."""

import time

import httpx

from tests import receiver
from tests.faults.conftest import Platform, eventually


def test_message_sent_and_not_marked_is_sent_again(platform: Platform) -> None:
    """At least once: the same `webhook-id`, a new time and a signature that is right, when the lease has run out."""
    with receiver.listening(receiver.hang, receiver.status(200)) as there:
        made = httpx.post(f"{platform.stack.url}/v1/webhooks", headers=platform.headers, json={"url": there.url})
        assert made.status_code == 201, made.text
        job = platform.submit(max_tokens=2).whole()
        there.until(1)
        control = platform.worker("control")
        control.kill()
        control.wait(30)
        first, second = there.until(2, limit_s=90)
        eventually(lambda: delivered(platform))
    secret = made.json()["secret"]
    assert first.verified(secret) == second.verified(secret)
    assert first.verified(secret)["data"]["id"] == job.job_id
    assert (first.id, first.body) == (second.id, second.body)
    sent_at = [int(message.headers["webhook-timestamp"]) for message in (first, second)]
    assert sent_at[0] < sent_at[1] <= time.time()
    assert platform.rows("SELECT attempts, last_status FROM webhook_deliveries") == [(2, 200)]
    httpx.delete(f"{platform.stack.url}{made.json()['links']['self']}", headers=platform.headers).raise_for_status()


def delivered(platform: Platform) -> bool:
    return platform.rows("SELECT status FROM webhook_deliveries") == [("delivered",)]
