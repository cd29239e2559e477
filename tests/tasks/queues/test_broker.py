"""The message is made without Celery, so it is compared with what Celery makes."""

import re
import uuid

import pytest
import redis
from celery import Celery

from tasks import ids
from tasks.queues import broker

LANE = "alpha.interactive"
KEY = broker.KEY_PREFIX + LANE


def test_message_is_celerys_own(redis_url: str, client: redis.Redis) -> None:
    """Byte for byte, but for the nonce of the delivery, the sender's name, and where to reply, which nobody does."""
    job_id = ids.new()
    app = Celery("theirs", set_as_current=False)
    app.conf.update(broker.configuration(redis_url, timeout_s=5))
    shown = ids.show(job_id)
    app.send_task(broker.RUN, args=[shown], task_id=shown, queue=LANE)
    app.close()
    theirs = taken(client)
    tag = re.search(r'"delivery_tag": "([^"]*)"', theirs)
    assert tag is not None
    theirs = re.sub(r'"reply_to": "[^"]*", ', "", theirs)
    theirs = re.sub(r'"origin": "[^"]*"', '"origin": "forebay"', theirs)
    ours = broker.message(job_id, LANE)
    assert re.sub(r'("delivery_tag": ")[^"]*', rf"\g<1>{tag[1]}", ours) == theirs


def test_two_messages_of_one_job_are_told_apart() -> None:
    """A worker may hold both, and counts them by their tags."""
    job_id = ids.new()
    assert broker.message(job_id, LANE) != broker.message(job_id, LANE)


def test_sender_sends_in_order(redis_url: str, client: redis.Redis) -> None:
    """A worker takes first what was sent first."""
    sender, job_ids = broker.Sender(redis_url, timeout_s=5), [ids.new() for _ in range(3)]
    for job_id in job_ids:
        sender.send(job_id, LANE)
    sender.close()
    assert [re.findall(r"job_[0-9a-f]{32}", taken(client))[0] for _ in job_ids] == list(map(ids.show, job_ids))


def test_sender_without_a_redis_says_so() -> None:
    sender = broker.Sender("redis://127.0.0.1:1/0", timeout_s=0.2)
    with pytest.raises(redis.RedisError):
        sender.send(uuid.uuid4(), LANE)


def test_wake_up_names_its_job_in_both_spellings() -> None:
    job_id = ids.new()
    assert broker.received(ids.show(job_id)) == broker.received(str(job_id)) == job_id


def taken(client: redis.Redis) -> str:
    """The message that a worker would get next."""
    message = client.rpop(KEY)
    assert isinstance(message, bytes)
    return message.decode()
