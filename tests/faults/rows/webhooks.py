"""F39: the process that sends webhooks is killed after a message has left and before that is written down."""

import time

import httpx

from cli.launcher import lineup
from tests import receiver
from tests.faults.checker import Tally
from tests.faults.clients import greedy
from tests.faults.ground import Ground
from tests.faults.rig import FAST
from tests.faults.victim import new_key

_WORKERS = {"fast-one": FAST}


def sent_and_not_marked(ground: Ground) -> Tally:
    """F39: at least once: sent again when its lease has run out, with the same id, a new time and a right signature.

    The short form doesn't wait for the lease: it ends it.
    """
    tally, rig = Tally(), ground.rig
    rig.heal(_WORKERS)
    key = new_key(rig, f"hooked-{ground.seed}-{time.time_ns()}")
    with receiver.listening(receiver.hang, receiver.status(200)) as there:
        with httpx.Client(base_url=rig.url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as http:
            webhook = http.post("/v1/webhooks", json={"url": there.url}).raise_for_status().json()
            job = http.post("/v1/jobs", json=greedy(2, model=FAST).body("")).raise_for_status().json()
        there.until(1)
        tally.injections += 1
        rig.kill(lineup.CONTROL)
        killed_at = time.monotonic()
        tally.fired += _deliveries(ground, webhook) == [("pending", 1, None)]
        if ground.short:
            rig.rows("UPDATE webhook_deliveries SET leased_until = now() WHERE leased_until IS NOT NULL")
        rig.again(lineup.CONTROL)
        first, second = there.until(2, limit_s=90)
        tally.recoveries_s.append(time.monotonic() - killed_at)
        rig.until(lambda: _deliveries(ground, webhook)[0][0] == "delivered")
    tally.promise(_deliveries(ground, webhook) == [("delivered", 2, 200)], f"{_deliveries(ground, webhook)}")
    tally.promise(first.verified(webhook["secret"])["data"]["id"] == job["id"], "the first message is of another job")
    tally.promise(second.verified(webhook["secret"]) == first.verified(webhook["secret"]), "they don't say the same")
    tally.promise((first.id, first.body) == (second.id, second.body), "the second is another message")
    sent_at = [int(message.headers["webhook-timestamp"]) for message in (first, second)]
    tally.promise(sent_at[0] < sent_at[1] <= time.time(), f"their times are {sent_at}")
    return ground.check(ground.party(), tally)


def _deliveries(ground: Ground, webhook: dict[str, str]) -> list[tuple[object, ...]]:
    told = "SELECT status, attempts, last_status FROM webhook_deliveries WHERE endpoint_id = %s"
    return ground.rig.rows(told, webhook["id"].partition("_")[2])
