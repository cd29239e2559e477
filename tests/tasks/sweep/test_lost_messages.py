"""Messages that Redis lost are sent again, and no others."""

import redis
from sqlalchemy import text

from db.session import Sessions
from tasks.keys import Caller
from tasks.queues import broker
from tasks.streams import stream
from tasks.sweep.sweeper import Sweeper
from tests import tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import age, stay_young, sweep


def test_message_that_redis_lost_is_sent_again(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post, client: redis.Redis
) -> None:
    """Fewer messages than were dispatched, and no slot free: what is old enough goes again, once."""
    tables.worker(sessions, slots=2)
    lost, young = (tables.submit(sessions, caller).id for _ in range(2))
    sweep(sweeper)
    with sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE workers SET free = 0")
    client.flushall()
    post.sent.clear()
    age(sessions, lost)
    stay_young(sessions, young)
    sweep(sweeper)
    assert post.sent == [(str(lost), "alpha.interactive")]
    stay_young(sessions, lost)
    sweep(sweeper)
    assert len(post.sent) == 1


def test_long_queue_behind_busy_slots_is_not_flooded(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post
) -> None:
    """Messages that wait in Redis because every slot is busy are not sent again, however old."""
    tables.worker(sessions, slots=2)
    waiting = [tables.submit(sessions, caller).id for _ in range(3)]
    sweep(sweeper)
    with sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE workers SET free = 0")
    post.sent.clear()
    for job_id in waiting:
        age(sessions, job_id)
    sweep(sweeper)
    assert post.sent == []


def test_message_that_was_taken_and_led_to_no_claim_is_sent_again(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post, client: redis.Redis
) -> None:
    """Redis pops a message before anyone owns it. Others that wait there, be they twice as many, don't hide that."""
    tables.worker(sessions, slots=2)
    taken, waits = (tables.submit(sessions, caller).id for _ in range(2))
    sweep(sweeper)
    post.sent.clear()
    client.rpop("forebay:alpha.interactive")
    client.lpush("forebay:alpha.interactive", broker.message(waits, "alpha.interactive"))
    for job_id in (taken, waits):
        age(sessions, job_id)
    sweep(sweeper)
    assert post.sent == [(str(taken), "alpha.interactive")]


def test_batch_jobs_that_were_sent_ahead_are_not_sent_again_beside_a_slot_that_was_free(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post
) -> None:
    """A heartbeat between two short lines tells of a free slot until the next; their messages are there."""
    tables.worker(sessions, slots=2)
    ahead = [tables.submit(sessions, caller, lane="batch").id for _ in range(4)]
    sweep(sweeper)
    sweep(sweeper)  # the first refill keeps a slot free, the next one lends it
    assert len(post.sent) == 4
    post.sent.clear()
    for job_id in ahead:
        age(sessions, job_id)
    sweep(sweeper)
    assert post.sent == []


def test_lost_message_of_a_job_that_is_being_cancelled_holds_up_no_round(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post
) -> None:
    """Whoever cancels many holds many of them for a moment: the round goes on without them."""
    tables.worker(sessions, slots=2)
    held, lost, waiting = (tables.submit(sessions, caller).id for _ in range(3))
    for job_id in (held, lost):
        age(sessions, job_id)
    with sessions.begin() as session:
        session.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": held})
        sweep(sweeper)
    assert {job_id for job_id, _ in post.sent} == {str(held), str(lost), str(waiting)}
    assert tables.column(sessions, waiting, "status") == "dispatched"


def test_queues_on_another_redis_are_counted_there(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post, redis_url: str
) -> None:
    """The broker may be another Redis than the streams': messages that wait there aren't taken for lost."""
    tables.worker(sessions, slots=2)
    sweeper.client = stream.connect(f"{redis_url}?db=7", timeout_s=5, max_connections=2)
    job_id = tables.submit(sessions, caller).id
    sweep(sweeper)
    with sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE workers SET free = 0")
    age(sessions, job_id)
    post.sent.clear()
    sweep(sweeper)
    assert post.sent == []
    sweeper.client.close()
