"""What kombu and Celery do, and what ours does in its place: a test that fails here may be a piece that can go."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import WorkerShutdown
from celery.worker import state
from kombu import Connection, Message
from kombu.transport import redis as kombu_redis

from tasks import ids
from tasks.queues import broker
from workers import transport
from workers.app import app
from workers.transport import ForgivingChannel, SteadyConnection

QUEUE = "transport"
PREFIXED = broker.KEY_PREFIX + QUEUE


class Enough(Exception):
    """The test has seen what it wanted."""


def received(connection: Connection, client: redis.Redis) -> Message:
    """A message that its channel holds, unacknowledged."""
    client.lpush(PREFIXED, broker.message(ids.new(), QUEUE))
    message = connection.channel().basic_get(QUEUE)
    assert message is not None
    return message


@pytest.fixture(autouse=True)
def empty(client: redis.Redis) -> None:
    """Whatever another test left unacknowledged."""
    client.flushall()


def settings(redis_url: str) -> dict[str, Any]:
    """How Celery makes the connections of a worker."""
    configured = broker.configuration(redis_url, timeout_s=5)
    return {"hostname": configured["broker_url"], "transport_options": configured["broker_transport_options"]}


@pytest.fixture
def theirs(redis_url: str) -> Iterator[Connection]:
    with Connection(**settings(redis_url)) as connection:
        yield connection


@pytest.fixture
def ours(redis_url: str) -> Iterator[Connection]:
    with SteadyConnection(**settings(redis_url)) as connection:
        yield connection


def test_messages_are_accounted_for_in_memory(ours: Connection, client: redis.Redis) -> None:
    """A worker that takes a message and ends it asks Redis once: kombu's own account would be three commands more."""
    message = received(ours, client)
    assert message.channel.qos.get(message.delivery_tag) is message
    assert client.keys("*unacked*") == []
    message.ack()
    assert client.keys("*unacked*") == []


def test_message_held_counts_against_the_prefetch_until_it_is_acknowledged(
    ours: Connection, client: redis.Redis
) -> None:
    """So a busy worker takes no more than it has slots for."""
    message = received(ours, client)
    qos = message.channel.qos
    qos.prefetch_count = 1
    assert not qos.can_consume()
    message.ack()
    assert qos.can_consume()


def test_message_can_be_acknowledged_after_its_connection(ours: Connection, client: redis.Redis) -> None:
    """A job may run for longer than the connection lives by which its message came."""
    message = received(ours, client)
    ours.close()
    assert message.channel.connection is None
    message.ack()


def test_channel_leaves_what_it_holds_where_it_is(theirs: Connection, ours: Connection, client: redis.Redis) -> None:
    """Kombu's puts it back into the queue when it closes, by a connection that may be gone."""
    received(theirs, client)
    theirs.close()
    assert client.llen(PREFIXED) == 1
    client.delete(PREFIXED)
    received(ours, client)
    ours.close()
    assert client.llen(PREFIXED) == 0


def test_message_that_comes_while_a_worker_stops_consuming_is_given_back(ours: Connection, client: redis.Redis) -> None:
    """Its consumer is gone already when the last answer of Redis is read: another worker finds the message."""
    message = received(ours, client)
    message.reject(requeue=True)
    assert client.llen(PREFIXED) == 1
    assert json.loads(client.rpop(PREFIXED))["headers"]["id"] == message.headers["id"]


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
    assert kombu_redis.Channel.do_restore is True


def test_workers_are_reached_though_bindings_were_forgotten(redis_url: str, client: redis.Redis) -> None:
    """What is told to all is told to those that listen; of those that were killed nothing is left."""
    app = Celery("told", set_as_current=False, amqp=transport.Messaging)
    app.conf.update(broker.configuration(redis_url, timeout_s=5))
    table, dead = f"{broker.KEY_PREFIX}_kombu.binding.celery.pidbox", "\x06\x16\x06\x16alpha@gone.celery.pidbox"
    client.sadd(table, dead)
    with app.connection_for_read() as listens, app.connection_for_write() as asks:
        node = app.control.mailbox.Node("alpha@here", state=None, handlers={"ping": lambda *_: "pong"})
        node.channel = listens.channel()
        node.listen(callback=node.handle_message)
        assert client.scard(table) == 2
        broker.forget_bindings(client)
        assert not client.exists(table)
        with suppress(TimeoutError):
            listens.drain_events(timeout=0.2)  # so that it subscribes
        reply: list[Any] = []
        asking = threading.Thread(
            target=lambda: reply.extend(app.control.broadcast("ping", reply=True, timeout=5, limit=1, connection=asks))
        )
        asking.start()
        while asking.is_alive():
            with suppress(TimeoutError):
                listens.drain_events(timeout=0.2)
        asking.join()
    assert reply == [{"alpha@here": "pong"}]


def test_stopped_worker_leaves_its_consumers_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery asks this between two looks at the broker."""
    monkeypatch.setattr(state, "should_stop", None)
    state.maybe_shutdown()
    transport.stop()
    with pytest.raises(WorkerShutdown) as told:
        state.maybe_shutdown()
    assert told.value.args == (1,)
