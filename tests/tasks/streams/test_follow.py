"""Following streams on a real Redis: many readers, one thread, nothing twice and nothing missed."""

import threading
import uuid
from collections.abc import Callable, Collection, Iterator

import pytest
import redis

from tasks import ids
from tasks.streams import follow, stream
from tasks.streams.events import Ended
from tasks.streams.follow import Follower, Subscription
from tasks.streams.stream import START, Cursor, StreamedEntry, Writer
from tasks.streams.transcript import Entry
from tests.support import entries

Start = Callable[[], Follower]


def delta(seq: int) -> Entry:
    return Entry(seq, entries.said(str(seq)))


def last(seq: int) -> Entry:
    return Entry(seq, Ended("succeeded"))


class EndedJobs:
    """What PostgreSQL would say has ended."""

    def __init__(self) -> None:
        self.jobs: set[uuid.UUID] = set()
        self.asked = threading.Event()

    def __call__(self, job_ids: Collection[uuid.UUID]) -> Collection[uuid.UUID]:
        self.asked.set()
        return self.jobs & set(job_ids)


@pytest.fixture
def ended() -> EndedJobs:
    return EndedJobs()


@pytest.fixture
def follower(client: redis.Redis, redis_url: str, ended: EndedJobs) -> Iterator[Follower]:  # client: emptied first
    follower = Follower(stream.connect(redis_url, timeout_s=2, max_connections=32), ended)
    follower.start()
    yield follower
    follower.stop()


@pytest.fixture
def writer(client: redis.Redis) -> Writer:
    writer = Writer(client, ids.new(), attempt=1, ttl_s=60)
    writer.open()
    return writer


def numbers(subscription: Subscription, count: int) -> list[int]:
    """The numbers of the next events, which come soon."""
    found = []
    for _ in range(count):
        event = subscription.next(10)
        assert event is not None
        found.append(event.entry.seq)
    return found


def test_events_there_already_and_events_to_come_are_given_in_order(follower: Follower, writer: Writer) -> None:
    """Subscribing amid a stream misses nothing and repeats nothing."""
    writer.append([delta(1), delta(2)])
    subscription = follower.subscribe(writer.job_id, START)
    assert numbers(subscription, 2) == [1, 2]
    writer.append([delta(3)])
    assert numbers(subscription, 1) == [3]


def test_two_readers_at_different_places_each_get_what_they_miss(follower: Follower, writer: Writer) -> None:
    """A second reader has the stream read again; the first isn't given anything twice."""
    writer.append([delta(i) for i in range(1, 6)])
    first = follower.subscribe(writer.job_id, START)
    assert numbers(first, 5) == [1, 2, 3, 4, 5]
    second = follower.subscribe(writer.job_id, Cursor(1, 3))
    assert numbers(second, 2) == [4, 5]
    writer.append([delta(6)])
    assert (numbers(first, 1), numbers(second, 1)) == ([6], [6])


def test_reader_who_knows_its_place_is_read_no_more_than_it_misses(follower: Follower, writer: Writer) -> None:
    """`since` spares reading what the caller has, also across attempts."""
    writer.append([delta(1), delta(2)])
    newer = Writer(writer.client, writer.job_id, attempt=2, ttl_s=60)
    newer.open()
    subscription = follower.subscribe(writer.job_id, Cursor(1, 2), since=Cursor(1, 2))
    newer.append([delta(3)])
    assert numbers(subscription, 1) == [3]


def test_stream_that_was_lost_and_republished_goes_on(follower: Follower, writer: Writer, client: redis.Redis) -> None:
    """After FLUSHALL the writer publishes everything again; readers see only what they hadn't."""
    writer.append([delta(1), delta(2)])
    subscription = follower.subscribe(writer.job_id, START)
    assert numbers(subscription, 2) == [1, 2]
    client.flushall()
    assert writer.append([delta(3)]) == "lost"
    writer.open([delta(1), delta(2), delta(3)])
    assert numbers(subscription, 1) == [3]


def test_many_subscribing_at_once_are_all_served(follower: Follower, client: redis.Redis) -> None:
    """One wake serves all who are due, and connections are never short."""
    writers = [Writer(client, ids.new(), 1, 60) for _ in range(50)]
    for each in writers:
        each.open([delta(1)])
    found: list[list[int]] = []
    barrier = threading.Barrier(len(writers))

    def subscribe(job_id: uuid.UUID) -> None:
        barrier.wait()
        found.append(numbers(follower.subscribe(job_id, START), 1))

    threads = [threading.Thread(target=subscribe, args=(each.job_id,)) for each in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[1]] * 50


def test_slow_reader_keeps_a_bounded_buffer_and_must_resume() -> None:
    """What doesn't fit isn't kept; what does is still given, then `Overflow`."""
    job_id = ids.new()
    subscription = Subscription(job_id, START)
    subscription.push(StreamedEntry(1, delta(i)) for i in range(1, follow.BUFFERED_EVENTS + 11))
    assert numbers(subscription, follow.BUFFERED_EVENTS)[-1] == follow.BUFFERED_EVENTS
    with pytest.raises(follow.Overflow):
        subscription.next(10)
    assert subscription.had == Cursor(1, follow.BUFFERED_EVENTS)


def test_silent_stream_of_an_ended_job_ends(follower: Follower, writer: Writer, ended: EndedJobs) -> None:
    """Where the stream doesn't tell the end, PostgreSQL is asked."""
    subscription = follower.subscribe(writer.job_id, START)
    ended.jobs.add(writer.job_id)
    with pytest.raises(follow.EndUntold):
        subscription.next(20)


def test_end_that_follows_a_gap_sends_to_postgresql(follower: Follower, writer: Writer) -> None:
    """A last event whose number isn't the next says that something was lost in between."""
    subscription = follower.subscribe(writer.job_id, START)
    writer.append([delta(1), last(3)])
    assert numbers(subscription, 1) == [1]
    with pytest.raises(follow.EndUntold):
        subscription.next(10)


def test_who_waits_for_the_end_gets_only_that(follower: Follower, writer: Writer) -> None:
    """However long the stream, a wait buffers one event."""
    waiting = follower.subscribe_to_end(writer.job_id)
    writer.append([delta(i) for i in range(1, 2000)])
    writer.append([last(2000)])
    assert numbers(waiting, 1) == [2000]


def test_unsubscribing_forgets_the_stream(follower: Follower, writer: Writer) -> None:
    """A stream nobody reads is not read, and one read again starts over."""
    subscription = follower.subscribe(writer.job_id, START)
    follower.unsubscribe(subscription)
    follower.unsubscribe(subscription)
    assert follower._followed == {}
    writer.append([delta(1)])
    assert numbers(follower.subscribe(writer.job_id, START), 1) == [1]


def test_stopping_lets_readers_go_and_takes_no_more(follower: Follower, writer: Writer) -> None:
    """Who waits is released at once, and so is who comes late."""
    subscription = follower.subscribe(writer.job_id, START)
    follower.release()
    for each in (subscription, follower.subscribe(writer.job_id, START)):
        with pytest.raises(follow.Stopped):
            each.next(10)


def test_unreachable_redis_ends_readers_by_postgresql(ended: EndedJobs) -> None:
    """Without Redis, ends are still learnt, and the thread outlives it."""
    nowhere = stream.connect("unix:///nowhere.sock", timeout_s=2, max_connections=32)
    follower = Follower(nowhere, ended)
    follower.start()
    try:
        job_id = ids.new()
        subscription = follower.subscribe(job_id, START)
        assert subscription.next(0.1) is None
        ended.jobs.add(job_id)
        with pytest.raises(follow.EndUntold):
            subscription.next(20)
    finally:
        follower.stop()
