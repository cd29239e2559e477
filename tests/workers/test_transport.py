"""What kombu and Celery do, and what ours does in its place: a test that fails here may be a piece that can go."""

import socket
from collections.abc import Iterator

import pytest
import redis
from celery import Celery
from celery.exceptions import WorkerShutdown
from celery.worker import state
from kombu import Connection, Message, Queue
from kombu.transport import redis as kombu_redis

from tasks.queues import broker
from workers import transport
from workers.app import app
from workers.transport import ForgivingChannel, SteadyConnection

QUEUE = "transport"


class Enough(Exception):
    """The test has seen what it wanted."""


def received(connection: Connection) -> Message:
    """A message that its channel holds, unacknowledged."""
    with connection.Producer() as producer:
        producer.publish({"job": 1}, routing_key=QUEUE, declare=[Queue(QUEUE)])
    message = connection.channel().basic_get(QUEUE)
    assert message is not None
    return message


@pytest.fixture(autouse=True)
def empty(client: redis.Redis) -> None:
    """Whatever another test left unacknowledged."""
    client.flushall()


@pytest.fixture
def theirs(redis_url: str) -> Iterator[Connection]:
    with Connection(broker.celery_url(redis_url)) as connection:
        yield connection


@pytest.fixture
def ours(redis_url: str) -> Iterator[Connection]:
    with SteadyConnection(broker.celery_url(redis_url)) as connection:
        yield connection


def test_message_can_be_acknowledged_after_its_connection(theirs: Connection, ours: Connection) -> None:
    """Kombu's account of a channel that puts nothing back raises, in Celery's callback, which ends the worker."""
    lost, forgiven = received(theirs), received(ours)
    lost.channel.do_restore = False
    theirs.close()
    ours.close()
    assert lost.channel.connection is None
    with pytest.raises(AttributeError):
        lost.ack()
    forgiven.ack()


def test_message_acknowledged_in_time_is_gone(ours: Connection, client: redis.Redis) -> None:
    message = received(ours)
    assert client.zcard(message.channel.unacked_index_key) == 1
    message.ack()
    assert client.zcard(message.channel.unacked_index_key) == 0


def test_channel_leaves_what_it_holds_where_it_is(theirs: Connection, ours: Connection, client: redis.Redis) -> None:
    """Kombu's puts it back into the queue when it closes."""
    received(theirs)
    theirs.close()
    assert client.llen(QUEUE) == 1
    client.delete(QUEUE)
    received(ours)
    ours.close()
    assert client.llen(QUEUE) == 0


def test_pauses_between_two_tries_do_not_grow() -> None:
    """Kombu's do, by two seconds each."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{closed.getsockname()[1]}"
        theirs, ours = pauses(Connection(url)), pauses(SteadyConnection(url))
    assert theirs[1] > theirs[0]
    assert ours[1] == ours[0]


def pauses(connection: Connection) -> list[float]:
    """The first two, of which only the first is made, and is short."""
    seen: list[float] = []

    def failed(error: Exception, pause_s: float) -> None:
        seen.append(pause_s)
        if len(seen) == 2:
            raise Enough

    with pytest.raises(Enough):
        connection.ensure_connection(failed, interval_start=0.01)
    return seen


def test_worker_speaks_by_our_connections_and_channels(redis_url: str) -> None:
    """By the ways on which Celery makes them, to receive and to send."""
    made = Celery("made", set_as_current=False, amqp=app.amqp_cls)
    made.conf.update(broker.configuration(redis_url, timeout_s=5))
    with made.connection_for_read() as reads, made.connection_for_write() as writes:
        for connection in (reads, writes, reads.clone()):
            assert isinstance(connection, SteadyConnection)
            assert isinstance(connection.default_channel, ForgivingChannel)


def test_channel_of_kombu_has_what_ours_replaces() -> None:
    """Else ours would be there for nothing."""
    assert kombu_redis.Transport.Channel is kombu_redis.Channel
    assert kombu_redis.Channel.QoS is kombu_redis.QoS
    assert kombu_redis.Channel.do_restore is True


def test_stopped_worker_leaves_its_consumers_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery asks this between two looks at the broker."""
    monkeypatch.setattr(state, "should_stop", None)
    state.maybe_shutdown()
    transport.stop()
    with pytest.raises(WorkerShutdown) as told:
        state.maybe_shutdown()
    assert told.value.args == (1,)
